"""The road of a generated street, and rotations in its world frame: x right, y down, z forward, metres.

The heading `yaw_rad` is the direction (sin yaw, 0, cos yaw).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SPACING_M = 0.1


class Path(NamedTuple):
    """The centre line of the road, sampled evenly along its length."""

    length_m: np.ndarray  # [P], 0 at the first camera
    position: np.ndarray  # [P, 2] world x, z
    yaw_rad: np.ndarray  # [P]


def make_path(rng: np.random.Generator, start_m: float, end_m: float) -> Path:
    """A gently winding road from `start_m` (negative: behind the first camera) to `end_m`."""
    length_m = np.arange(start_m, end_m, _SPACING_M)
    swing_rad, period_m = rng.uniform([0.08, 0.03], [0.28, 0.10]), rng.uniform([60, 25], [110, 45])
    angle = 2 * np.pi * (length_m[:, None] / period_m + rng.uniform(0, 1, 2))
    yaw_rad = np.sin(angle) @ swing_rad
    position = np.cumsum(forward(yaw_rad) * _SPACING_M, axis=0)
    return Path(length_m, position - position[np.searchsorted(length_m, 0.0)], yaw_rad)


def smooth_walk(rng: np.random.Generator, frames: int) -> np.ndarray:
    """[frames] values in [-1, 1]: the mean of two slow waves with periods of 15 to 60 frames."""
    periods = rng.uniform([15, 30], [30, 60])
    return 0.5 * np.sin(2 * np.pi * (np.arange(frames)[:, None] / periods + rng.uniform(0, 1, 2))).sum(axis=-1)


def at(path: Path, length_m: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Position [..., 2] and heading [...] at `length_m` [...] along the path."""
    position = np.stack([np.interp(length_m, path.length_m, path.position[:, k]) for k in range(2)], axis=-1)
    return position, np.interp(length_m, path.length_m, path.yaw_rad)


def forward(yaw_rad: np.ndarray | float) -> np.ndarray:
    """Unit vector [..., 2] (x, z) along the heading."""
    return np.stack([np.sin(yaw_rad), np.cos(yaw_rad)], axis=-1)


def right(yaw_rad: np.ndarray | float) -> np.ndarray:
    """Unit vector [..., 2] (x, z) to the right of the heading."""
    return np.stack([np.cos(yaw_rad), -np.sin(yaw_rad)], axis=-1)


def _rotation(angle_rad: np.ndarray, first: int, second: int) -> np.ndarray:
    """Rotations [n, 3, 3] of axis `first` towards axis `second`."""
    matrix = np.tile(np.eye(3), (len(angle_rad), 1, 1))
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle_rad)
    matrix[:, second, first] = np.sin(angle_rad)
    matrix[:, first, second] = -np.sin(angle_rad)
    return matrix


def yaw_matrix(angle_rad: np.ndarray) -> np.ndarray:
    """Rotations [n, 3, 3] to the right."""
    return _rotation(angle_rad, 2, 0)


def pitch_matrix(angle_rad: np.ndarray) -> np.ndarray:
    """Rotations [n, 3, 3], nose up."""
    return _rotation(angle_rad, 1, 2)


def roll_matrix(angle_rad: np.ndarray) -> np.ndarray:
    """Rotations [n, 3, 3], right side down."""
    return _rotation(angle_rad, 0, 1)
