"""Camera trajectories: poses as matrices, pose vectors, and alignment of one trajectory to another.

A pose is world_T_camera [4, 4]: it maps points from the camera to the world; its last column is the camera position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ALIGNMENTS = ("none", "scale", "scale_umeyama", "6dof", "7dof")


class Similarity(NamedTuple):
    """points -> scale * rotation [3, 3] @ points + translation [3]."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray


def are_rotations(matrices: np.ndarray) -> np.ndarray:
    """Which [...] of the matrices [..., 3, 3] are rotations, but for rounding.

    KITTI's own are within 3e-7 of one, motions chained in float32 over its longest sequence within 1e-3.
    """
    error = np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max(axis=(-2, -1))
    with np.errstate(all="ignore"):
        return (error <= 0.01) & (np.linalg.det(matrices) > 0)


def pose_vectors_to_matrices(vectors: np.ndarray) -> np.ndarray:
    """Converts [..., 6] (tx, ty, tz, rx, ry, rz; radians) to [..., 4, 4], rotation Rx @ Ry @ Rz (release)."""
    matrices = np.zeros((*vectors.shape[:-1], 4, 4))
    matrices[..., :3, :3] = (
        _rotate_about(0, vectors[..., 3]) @ _rotate_about(1, vectors[..., 4]) @ _rotate_about(2, vectors[..., 5])
    )
    matrices[..., :3, 3] = vectors[..., :3]
    matrices[..., 3, 3] = 1
    return matrices


def _rotate_about(axis: int, angle_rad: np.ndarray) -> np.ndarray:
    """Right-handed rotations [..., 3, 3] by angles [...] about x, y or z (axis 0, 1, 2)."""
    second, third = (axis + 1) % 3, (axis + 2) % 3
    rotations = np.zeros((*angle_rad.shape, 3, 3))
    rotations[..., axis, axis] = 1
    rotations[..., second, second] = rotations[..., third, third] = np.cos(angle_rad)
    rotations[..., third, second] = np.sin(angle_rad)
    rotations[..., second, third] = -rotations[..., third, second]
    return rotations


def predicted_vectors_to_poses(vectors: np.ndarray) -> np.ndarray:
    """A snippet's first_T_camera [n, 4, 4] from the network's vectors camera_T_target [n, 6] (0 for the target)."""
    camera_T_target = pose_vectors_to_matrices(vectors)
    return camera_T_target[0] @ np.linalg.inv(camera_T_target)


def make_relative(poses: np.ndarray) -> np.ndarray:
    """The poses [N, 4, 4] relative to the first, which becomes the identity."""
    return np.linalg.inv(poses[0]) @ poses


def compute_motions(poses: np.ndarray, step: int = 1) -> np.ndarray:
    """camera_i_T_camera_(i+step) for the poses [N, 4, 4]: [N - step, 4, 4]."""
    return np.linalg.inv(poses[:-step]) @ poses[step:]


def chain_motions(motions: np.ndarray) -> np.ndarray:
    """Chains motions camera_i_T_camera_(i+1) [N, 4, 4] to poses [N + 1, 4, 4], starting at the identity.

    >>> ahead = pose_vectors_to_matrices(np.array([0, 0, 1.5, 0, 0, 0]))
    >>> chain_motions(np.array([ahead, ahead]))[:, :3, 3].tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.5], [0.0, 0.0, 3.0]]
    """
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ motion)
    return np.array(poses)


def compute_path_lengths(poses: np.ndarray) -> np.ndarray:
    """Path lengths [N] from the first pose to each of [N, 4, 4], metres."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def compute_scale(gt: np.ndarray, pred: np.ndarray) -> float:
    """The factor s that minimises the sum of (gt - s * pred)^2 over two arrays; 0 if `pred` is all 0."""
    energy = float(np.sum(pred**2))
    return float(np.sum(gt * pred)) / energy if energy > 0 else 0.0


def find_alignment(gt: np.ndarray, pred: np.ndarray, kind: str) -> Similarity:
    """The transform of the positions `pred` [N, 3] that brings them closest to `gt` [N, 3] in least squares.

    kind: none; scale (one factor about the origin, where both should start); 6dof (rotation and translation); 7dof
    (these and a scale; Umeyama, PAMI 1991); scale_umeyama (the factor of 7dof alone, as evo's `-s`).
    """
    if kind not in ALIGNMENTS:
        raise ValueError(f"alignment must be one of {ALIGNMENTS}, got {kind!r}")
    if kind in ("none", "scale"):
        scale = compute_scale(gt, pred) if kind == "scale" else 1.0
        return Similarity(scale, np.eye(3), np.zeros(3))
    gt_mean, pred_mean = gt.mean(axis=0), pred.mean(axis=0)
    left, singular, right = np.linalg.svd((gt - gt_mean).T @ (pred - pred_mean))
    # Excludes reflections, which would fit some noisy or planar paths better but are not rigid motions.
    signs = np.array([1, 1, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(signs) @ right
    energy = np.sum((pred - pred_mean) ** 2)
    scale = 1.0 if kind == "6dof" or energy == 0 else float(singular @ signs / energy)
    if kind == "scale_umeyama":
        return Similarity(scale, np.eye(3), np.zeros(3))
    return Similarity(scale, rotation, gt_mean - scale * rotation @ pred_mean)


def transform_poses(similarity: Similarity, poses: np.ndarray) -> np.ndarray:
    """Applies the similarity to poses [N, 4, 4]: transforms positions, rotates orientations."""
    aligned = poses.copy()
    aligned[:, :3, :3] = similarity.rotation @ poses[:, :3, :3]
    aligned[:, :3, 3] = similarity.scale * poses[:, :3, 3] @ similarity.rotation.T + similarity.translation
    return aligned
