"""Evaluates a predicted trajectory against the true one, with every alignment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval.errors import UserError
from kitti_eval.pose_files import Trajectory, read_times, read_trajectory
from kitti_eval.pose_metrics import (
    RelativePoseErrors,
    SegmentErrors,
    average_segment_errors,
    compute_ate_rmse,
    compute_relative_pose_errors,
    compute_segment_errors,
)
from kitti_eval.snippets import SAME_FRAME_S, chain_snippets, find_nearest, match_times, read_snippets
from kitti_eval.trajectory import ALIGNMENTS, find_alignment, make_relative, transform_poses


class AlignedErrors(NamedTuple):
    """The errors after one alignment. poses: the aligned prediction [N, 4, 4]. by_length: see `compute_segment_errors`.

    segments: the mean over all lengths, None if the path is shorter than 100 m.
    """

    poses: np.ndarray
    ate_rmse_m: float
    segments: SegmentErrors | None
    by_length: dict[int, SegmentErrors]
    rpe: RelativePoseErrors


def evaluate_trajectory(gt: np.ndarray, pred: np.ndarray) -> dict[str, AlignedErrors]:
    """The errors of `pred` [N, 4, 4] by alignment; both trajectories must start at the identity (`make_relative`)."""
    return {kind: _evaluate_aligned(gt, pred, kind) for kind in ALIGNMENTS}


def _evaluate_aligned(gt: np.ndarray, pred: np.ndarray, kind: str) -> AlignedErrors:
    pred = transform_poses(find_alignment(gt[:, :3, 3], pred[:, :3, 3], kind), pred)
    by_length = compute_segment_errors(gt, pred)
    return AlignedErrors(
        poses=pred,
        ate_rmse_m=compute_ate_rmse(gt[:, :3, 3], pred[:, :3, 3]),
        segments=average_segment_errors(by_length),
        by_length=by_length,
        rpe=compute_relative_pose_errors(gt, pred),
    )


class Matched(NamedTuple):
    """True and predicted poses of the same frames.

    gt, pred: [N, 4, 4], both starting at the identity. times_s: [N] of the prediction where they are known, else of the
    truth or None. predicted: poses of the prediction before those without truth were left out.
    """

    gt: np.ndarray
    pred: np.ndarray
    times_s: np.ndarray | None
    predicted: int


def read_ground_truth(path: Path, times_path: Path | None = None) -> Trajectory:
    """The true trajectory; its times come from a TUM file or `times_path`, else are None."""
    truth = read_trajectory(path)
    if times_path is None:
        return truth
    times_s = read_times(times_path)
    if len(times_s) != len(truth.poses):
        expected = f"{len(truth.poses)} times, one per pose of {path}"
        raise UserError(f"{times_path}: expected {expected}, found {len(times_s)}")
    return truth._replace(times_s=times_s)


def read_prediction(
    path: Path, truth: Trajectory, scale_snippets: bool = False, max_difference_s: float = SAME_FRAME_S
) -> Matched:
    """The poses that truth and prediction both have.

    Args:
        path: a KITTI or TUM file, or a folder of snippets, which are chained (`scale_snippets`: each first scaled to
            the truth).
        max_difference_s: poses whose times are farther apart do not belong together.

    They are matched by time if both sides have times (`associate`), by the number of the frame if the prediction has
    those, as a folder of snippets does, else one by one from the start. A truth without numbers has all frames.

    Raises:
        UserError: fewer than two poses belong together, the prediction goes on after a truth of all frames, or it does
            not say of which frames its poses are, while one of both sides has gaps.
    """
    pred = _chain(path, truth, scale_snippets) if path.is_dir() else read_trajectory(path)
    of_truth, of_pred = _match(truth, pred, path, max_difference_s)
    if len(of_pred) < 2:
        raise UserError(f"{path}: expected at least two poses with truth, found {len(of_pred)}")
    times_s = None if truth.times_s is None else truth.times_s[of_truth]
    if pred.times_s is not None:
        times_s = pred.times_s[of_pred]
    relative = make_relative(truth.poses[of_truth]), make_relative(pred.poses[of_pred])
    return Matched(*relative, times_s, len(pred.poses))


def _match(truth: Trajectory, pred: Trajectory, path: Path, max_difference_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The indices into both trajectories, ascending, of the poses that belong together."""
    if truth.times_s is not None and pred.times_s is not None:
        return associate(truth.times_s, pred.times_s, max_difference_s)
    rows, count = np.arange(len(pred.poses)), len(truth.poses)
    if pred.frames is not None and truth.frames is not None:
        return np.intersect1d(truth.frames, pred.frames, assume_unique=True, return_indices=True)[1:]
    if pred.frames is not None:
        if pred.frames[-1] >= count:
            raise UserError(f"{path}: expected frames 0 to {count - 1}, found {pred.frames[-1]}")
        return pred.frames, rows
    if _has_gaps(truth):
        raise UserError(f"{path}: expected numbers of frames in the first of 13 columns, as in the truth, found none")
    if pred.times_s is not None and len(rows) != count:
        found = f"{len(rows)} poses with times and {count} true ones without"
        raise UserError(f"{path}: expected --times_file, found {found}")
    if len(rows) > count:
        raise UserError(f"{path}: expected at most {count} poses, as many as the ground truth has, found {len(rows)}")
    return rows, rows


def number_frames(trajectory: Trajectory, times_s: np.ndarray, path: Path) -> np.ndarray:
    """Which of the frames at `times_s` [M] each pose of a trajectory is of: [N], by time, by number, or one by one.

    Raises UserError, naming `path`, if there is no such frame, or two poses are of one.
    """
    if trajectory.times_s is not None:
        frames = match_times(times_s, trajectory.times_s, path)
    else:
        frames = np.arange(len(trajectory.poses)) if trajectory.frames is None else trajectory.frames
    if frames[-1] >= len(times_s) or (np.diff(frames) <= 0).any():
        raise UserError(f"{path}: expected poses of some of {len(times_s)} frames, each once, found others")
    return frames


def associate(gt_times_s: np.ndarray, times_s: np.ndarray, max_difference_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The indices into both times, ascending, that belong together: for each of the shorter list the nearest of the
    longer, where that is near enough, as in evo."""
    if len(times_s) > len(gt_times_s):
        of_pred, of_truth = associate(times_s, gt_times_s, max_difference_s)
        return of_truth, of_pred
    nearest = find_nearest(gt_times_s, times_s)
    near = np.abs(gt_times_s[nearest] - times_s) <= max_difference_s
    return nearest[near], np.flatnonzero(near)


def _has_gaps(trajectory: Trajectory) -> bool:
    """Whether it says that it lacks some of the frames from 0 to its last."""
    return trajectory.frames is not None and trajectory.frames[-1] >= len(trajectory.poses)


def _chain(path: Path, truth: Trajectory, scale_snippets: bool) -> Trajectory:
    snippets, gt = read_snippets(path), truth.poses
    frames = len(snippets) + len(snippets[0].poses) - 1
    if scale_snippets and (frames != len(gt) or _has_gaps(truth)):
        expected = f"snippets of all {len(gt)} true frames, from 0 on without a gap, to scale them by"
        raise UserError(f"{path}: expected {expected}, found {frames} frames")
    return Trajectory(*chain_snippets(snippets, gt if scale_snippets else None), np.arange(frames))
