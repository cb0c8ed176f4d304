"""Intrinsics from the calibration files of KITTI."""

from __future__ import annotations

import math

from sfmlearner_tf.data.sequences import Intrinsics


def read_kitti_projection(path: str, key: str) -> Intrinsics:
    """The intrinsics in the 3x4 projection matrix `key` ("P_rect_02", "P2") of a KITTI calibration file.

    Raises OSError for a file that cannot be read and ValueError for one without such a matrix.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    found = lines.get(key, "no such line").strip()
    try:
        numbers = [float(word) for word in found.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 12 or not all(map(math.isfinite, numbers)) or numbers[0] <= 0 or numbers[5] <= 0:
        raise ValueError(f"expected twelve numbers of a projection after {key}:, found {found!r}")
    return Intrinsics(fx=numbers[0], fy=numbers[5], cx=numbers[2], cy=numbers[6])
