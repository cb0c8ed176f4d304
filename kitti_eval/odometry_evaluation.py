"""Evaluates a predicted trajectory against the true one, with every alignment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval.errors import UserError
from kitti_eval.pose_files import TimedPoses, read_times, read_trajectory
from kitti_eval.pose_metrics import (
    RelativePoseErrors,
    SegmentErrors,
    average_segment_errors,
    compute_ate_rmse,
    compute_relative_pose_errors,
    compute_segment_errors,
)
from kitti_eval.snippets import chain_snippets, match_times, read_snippets
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


def read_ground_truth(path: Path, times_path: Path | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """The true poses [N, 4, 4] and times [N], which come from a TUM file or `times_path`, else are None."""
    poses, times_s = read_trajectory(path)
    if times_path is not None:
        times_s = read_times(times_path)
        if len(times_s) != len(poses):
            raise UserError(f"{times_path}: expected {len(poses)} times, one per pose of {path}, found {len(times_s)}")
    return poses, times_s


def read_prediction(
    path: Path, gt: np.ndarray, gt_times_s: np.ndarray | None, scale_snippets: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The true and predicted poses of the same frames, both starting at the identity, and their times if known.

    path: a KITTI or TUM file, or a folder of snippets, which are chained (`scale_snippets`: each first scaled to the
    truth). Frames are matched by time if both sides have times, else their numbers must be equal.
    """
    pred, times_s = _chain(path, gt, scale_snippets) if path.is_dir() else read_trajectory(path)
    if gt_times_s is not None and times_s is not None:
        gt = gt[match_times(gt_times_s, times_s, path)]
    elif len(gt) != len(pred):
        raise UserError(f"{path}: expected {len(gt)} poses, as many as the ground truth has, found {len(pred)}")
    if len(pred) < 2:
        raise UserError(f"{path}: expected at least two poses, found {len(pred)}")
    return make_relative(gt), make_relative(pred), gt_times_s if times_s is None else times_s


def _chain(path: Path, gt: np.ndarray, scale_snippets: bool) -> TimedPoses:
    snippets = read_snippets(path)
    frames = len(snippets) + len(snippets[0].poses) - 1
    if scale_snippets and frames != len(gt):
        raise UserError(
            f"{path}: expected snippets of all {len(gt)} true frames to scale them by, found {frames} frames"
        )
    return chain_snippets(snippets, gt if scale_snippets else None)
