"""Errors of camera trajectories.

Different errors are called "ATE" in the literature. `compute_snippet_ate` is that of the SfMLearner paper,
`compute_ate_rmse` the root mean square over whole trajectories; their values are not comparable.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kitti_eval.trajectory import compute_motions, compute_path_lengths, compute_scale

SEGMENT_LENGTHS_M = (100, 200, 300, 400, 500, 600, 700, 800)
# KITTI starts a segment at every tenth frame, i.e. every second.
_SEGMENT_STEP = 10


class SegmentErrors(NamedTuple):
    """KITTI's odometry errors, averaged over segments of one length or of all.

    t_err_percent: translation error / length. r_err_deg_per_100m: rotation error / length. segments: their number.
    """

    t_err_percent: float
    r_err_deg_per_100m: float
    segments: int


class RelativePoseErrors(NamedTuple):
    """Root mean square errors of the motion from frame to frame: translation in metres, rotation in degrees."""

    translation_rmse_m: float
    rotation_rmse_deg: float


def compute_snippet_ate(gt: np.ndarray, pred: np.ndarray) -> float:
    """The paper's absolute trajectory error of one snippet's positions [N, 3]: sqrt(sum of squared errors) / N, metres.

    The prediction is moved to the start of the ground truth and scaled by the factor that fits best.
    Parity: the root of the *sum* over N, not the root mean square, which is sqrt(N) times as large.
    """
    pred = pred + (gt[0] - pred[0])
    error = gt - compute_scale(gt, pred) * pred
    return float(np.sqrt(np.sum(error**2))) / len(gt)


def compute_translation_error(gt: np.ndarray, pred: np.ndarray) -> float:
    """Norm of the error of translations [N, 3] / norm of the true ones, after scaling by the factor that fits best.

    1 if no motion is predicted. The true motion must not be 0.
    """
    return float(np.linalg.norm(compute_scale(gt, pred) * pred - gt) / np.linalg.norm(gt))


def compute_ate_rmse(gt: np.ndarray, pred: np.ndarray) -> float:
    """The root mean square distance between the positions [N, 3] of two trajectories, metres, without alignment."""
    return float(np.sqrt(np.mean(np.sum((gt - pred) ** 2, axis=1))))


def compute_relative_pose_errors(gt: np.ndarray, pred: np.ndarray) -> RelativePoseErrors:
    """RPE: the errors of the motion from each frame to the next, for poses [N, 4, 4], N > 1."""
    errors = np.linalg.inv(compute_motions(gt)) @ compute_motions(pred)
    return RelativePoseErrors(
        translation_rmse_m=float(np.sqrt(np.mean(np.sum(errors[:, :3, 3] ** 2, axis=1)))),
        rotation_rmse_deg=float(np.sqrt(np.mean(np.degrees(compute_angles(errors)) ** 2))),
    )


def compute_segment_errors(gt: np.ndarray, pred: np.ndarray) -> dict[int, SegmentErrors]:
    """KITTI's errors of the poses [N, 4, 4] by segment length in metres; lengths beyond that of the path are left out.

    Segments start at every tenth frame and end at the first frame farther than the length along the true path; the
    error is the difference between the true and predicted motion over the segment (Geiger et al., CVPR 2012).
    """
    distance_m = compute_path_lengths(gt)
    starts = np.arange(0, len(gt), _SEGMENT_STEP)
    errors = {}
    for length in SEGMENT_LENGTHS_M:
        ends = np.searchsorted(distance_m, distance_m[starts] + length, side="right")
        first, last = starts[ends < len(gt)], ends[ends < len(gt)]
        if len(first) == 0:
            continue
        gt_motion, pred_motion = (np.linalg.inv(poses[first]) @ poses[last] for poses in (gt, pred))
        difference = np.linalg.inv(pred_motion) @ gt_motion
        errors[length] = SegmentErrors(
            t_err_percent=100 * float(np.mean(np.linalg.norm(difference[:, :3, 3], axis=1))) / length,
            r_err_deg_per_100m=100 * float(np.mean(np.degrees(compute_angles(difference)))) / length,
            segments=len(first),
        )
    return errors


def average_segment_errors(errors: dict[int, SegmentErrors]) -> SegmentErrors | None:
    """KITTI's t_err and r_err: the mean over the segments of all lengths; None if there are no segments."""
    if not errors:
        return None
    table = np.array(list(errors.values()))
    t_err, r_err = np.average(table[:, :2], axis=0, weights=table[:, 2])
    return SegmentErrors(float(t_err), float(r_err), int(table[:, 2].sum()))


def compute_angles(poses: np.ndarray) -> np.ndarray:
    """The rotation angles [N] of poses [N, 4, 4] in radians, 0 to pi; accurate for small angles too."""
    rotation = poses[:, :3, :3]
    twice_sine = np.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ]
    )
    # The arc cosine, as in KITTI's tools, loses half of the digits near 0.
    return np.arctan2(np.linalg.norm(twice_sine, axis=0), np.trace(rotation, axis1=1, axis2=2) - 1)
