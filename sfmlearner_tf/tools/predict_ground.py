"""The height of the camera above the road, in the unit of a predicted depth."""

from __future__ import annotations

import numpy as np

from sfmlearner_tf.data.sequences import Intrinsics

# What is looked at: the lower part of the image, from this share of its height on, and the middle half of its width.
_FIRST_ROW = 0.6
_COLUMNS = (0.25, 0.75)
_TRIALS = 200
# Points belong to the road that are at most this share of its distance from it.
_TOLERANCE = 0.03
# A road is no steeper than this, radians, and covers at least this share of what is looked at.
_STEEPEST_RAD = np.radians(15)
_LEAST_SHARE = 0.3


def find_camera_height(depth: np.ndarray, intrinsics: Intrinsics) -> float | None:
    """The distance of the camera from the plane of the road, None where no road is found.

    The plane is that of three points on which most others lie (RANSAC; the same points are drawn every time), then the
    best of all of those.

    Args:
        depth: [H, W], camera z.
        intrinsics: at this size, pixels.
    """
    points = _points_of_road(depth, intrinsics)
    triples = points[np.random.default_rng(0).integers(len(points), size=(_TRIALS, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(lengths > 0, lengths, 1)
    normals *= np.where(normals[:, 1:2] < 0, -1, 1)  # y points down: from the camera to the road
    heights = np.sum(normals * triples[:, 0], axis=1)
    is_road = (normals[:, 1] > np.cos(_STEEPEST_RAD)) & (heights > 0)
    if not is_road.any():
        return None
    normals, heights = normals[is_road], heights[is_road]
    near = np.abs(points @ normals.T - heights) < _TOLERANCE * heights
    best = near.sum(axis=0).argmax()
    chosen = points[near[:, best]]
    if len(chosen) < _LEAST_SHARE * len(points):
        return None
    # The plane a x + b y + c z = 1 is 1 / |(a, b, c)| away.
    plane, *_ = np.linalg.lstsq(chosen, np.ones(len(chosen)), rcond=None)
    return float(1 / np.linalg.norm(plane))


def _points_of_road(depth: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    height, width = depth.shape
    rows = np.arange(int(_FIRST_ROW * height), height)
    columns = np.arange(int(_COLUMNS[0] * width), int(_COLUMNS[1] * width))
    x, y = np.meshgrid((columns - intrinsics.cx) / intrinsics.fx, (rows - intrinsics.cy) / intrinsics.fy)
    z = depth[rows[0] :, columns[0] : columns[-1] + 1]
    return np.stack([x * z, y * z, z], axis=-1).reshape(-1, 3).astype(np.float64)
