"""Bilinear resizing of a float map: half-pixel centres, no antialiasing, edges repeated (OpenCV's INTER_LINEAR)."""

from __future__ import annotations

import numpy as np


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes `image` [h, w] to [height, width], of the same floating type.

    When n pixels become m, the centre of target pixel i lies at (i + 1/2) n / m - 1/2; beyond the outermost centres the
    border value is used.
    """
    upper, lower, weight = _neighbours(image.shape[0], height, image.dtype)
    tall = image[upper] + weight[:, None] * (image[lower] - image[upper])
    left, right, weight = _neighbours(image.shape[1], width, image.dtype)
    left_columns = tall[:, left]
    return left_columns + weight * (tall[:, right] - left_columns)


def _neighbours(source: int, target: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each target pixel, the two source pixels around its centre and the weight of the second."""
    centre = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    first = np.floor(centre).astype(int)
    return first, np.minimum(first + 1, source - 1), (centre - first).astype(dtype)
