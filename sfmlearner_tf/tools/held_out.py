"""Errors of depth and motion against the ground truth of the generated world, and two trivial predictors.

Printed at the end of the demo. This is not the paper's protocol (see kitti_eval): here all poses and the depth of
all pixels are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import imageio.v2 as imageio
import numpy as np

from kitti_eval.depth_metrics import compute_depth_errors, scale_and_clip
from kitti_eval.pose_metrics import compute_translation_error
from sfmlearner_tf.data.oxts import read_camera_poses

MIN_DEPTH_M, MAX_DEPTH_M = 1e-3, 80.0


class Triplet(NamedTuple):
    """A target frame, its two neighbours, and the ground truth."""

    target: np.ndarray  # [H, W, 3] uint8
    sources: np.ndarray  # [H, W, 6] uint8
    depth_m: np.ndarray  # [H, W], 0 where unknown
    translations_m: np.ndarray  # [2, 3], target to source


class Errors(NamedTuple):
    """Means over triplets."""

    abs_rel: float
    translation: float  # norm of the error / norm of the motion, after one scale per triplet


def read_triplets(drive_dir: Path) -> list[Triplet]:
    """Every triplet of a drive's left camera, in order."""
    poses = read_camera_poses(str(drive_dir.parent), drive_dir.name)
    images = [imageio.imread(path) for path in sorted((drive_dir / "image_02" / "data").glob("*.png"))]
    depths = sorted((drive_dir / "proj_depth" / "groundtruth" / "image_02").glob("*.png"))
    triplets = []
    for i in range(1, len(images) - 1):
        sources = np.concatenate([images[i - 1], images[i + 1]], axis=-1)
        motions = np.linalg.inv(poses[[i - 1, i + 1]]) @ poses[i]
        triplets.append(Triplet(images[i], sources, read_depth(depths[i]), motions[:, :3, 3]))
    return triplets


def read_depth(path: Path) -> np.ndarray:
    """Reads an annotated depth map of KITTI [H, W], metres, 0 where unknown."""
    return imageio.imread(path).astype(np.float32) / 256


def compute_errors(triplets: Sequence[Triplet], depths: Sequence[np.ndarray], motions: Sequence[np.ndarray]) -> Errors:
    """The mean errors of predicted depths [H, W] and translations [2, 3], each of arbitrary scale."""
    abs_rels, translation_errors = [], []
    for triplet, depth, motion in zip(triplets, depths, motions):
        abs_rels.append(compute_abs_rel(triplet, depth))
        translation_errors.append(compute_translation_error(triplet.translations_m, motion))
    return Errors(float(np.mean(abs_rels)), float(np.mean(translation_errors)))


def compute_abs_rel(triplet: Triplet, depth: np.ndarray) -> float:
    """Abs Rel of a predicted depth [H, W] of arbitrary scale, up to MAX_DEPTH_M."""
    valid = (triplet.depth_m > MIN_DEPTH_M) & (triplet.depth_m < MAX_DEPTH_M)
    truth = triplet.depth_m[valid]
    scaled = scale_and_clip(truth, depth[valid], min_depth_m=MIN_DEPTH_M, max_depth_m=MAX_DEPTH_M)
    return compute_depth_errors(truth, scaled).abs_rel


def mean_depth(triplets: Sequence[Triplet]) -> np.ndarray:
    """The trivial depth prediction [H, W]: the mean of each pixel over the triplets in which it is known."""
    known = sum((triplet.depth_m > 0).astype(np.float64) for triplet in triplets)
    total = sum(np.minimum(triplet.depth_m, MAX_DEPTH_M).astype(np.float64) for triplet in triplets)
    return np.where(known > 0, total / np.maximum(known, 1), MAX_DEPTH_M)


def mean_motion(triplets: Sequence[Triplet]) -> np.ndarray:
    """The trivial motion prediction: the mean translations [2, 3] over all triplets."""
    return np.mean([triplet.translations_m for triplet in triplets], axis=0)
