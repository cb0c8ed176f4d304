"""Trajectory files: KITTI odometry (12 numbers per line, or the number of the frame before them) and TUM (time,
position, quaternion)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval.errors import UserError
from kitti_eval.files import read_lines
from kitti_eval.trajectory import are_rotations

# No position is farther away, and the squares of larger ones would not be finite in the end.
_MAX_POSITION_M = 1e12


class TimedPoses(NamedTuple):
    """poses: world_T_camera [N, 4, 4], metres. times_s: [N], seconds, ascending."""

    poses: np.ndarray
    times_s: np.ndarray


class Trajectory(NamedTuple):
    """poses: world_T_camera [N, 4, 4], metres. times_s: [N], seconds, ascending, of a TUM file, else None. frames: [N],
    ascending, of a KITTI file with numbers of frames, else None."""

    poses: np.ndarray
    times_s: np.ndarray | None = None
    frames: np.ndarray | None = None


def read_trajectory(path: str | Path) -> Trajectory:
    """A trajectory of either format, recognised by the number of columns; of poses at one time the first is taken.

    Raises UserError as `read_kitti` and `read_tum`.
    """
    # Once: a pipe cannot be read again.
    table = _read_numbers(path)
    if table.shape[1] == 8:
        return Trajectory(*_parse_tum(path, table, repeats=True))
    frames = _parse_frames(path, table[:, 0]) if table.shape[1] == 13 else None
    return Trajectory(_parse_kitti(path, table), frames=frames)


def read_kitti(path: str | Path) -> np.ndarray:
    """The poses [N, 4, 4] of a KITTI file, with numbers of frames or without.

    Raises UserError if it is missing, malformed or not finite, or a line holds no rotation.
    """
    return _parse_kitti(path, _read_numbers(path))


def _parse_frames(path: str | Path, numbers: np.ndarray) -> np.ndarray:
    """The first column of a KITTI file of 13. Raises UserError unless they are whole numbers from 0 on that rise."""
    # Floats leave out some of the whole numbers above.
    valid = (numbers >= 0) & (numbers < 2**53) & (numbers == np.floor(numbers))
    if not valid.all() or (np.diff(numbers) <= 0).any():
        raise UserError(f"{path}: expected numbers of frames that rise in the first of 13 columns, found others")
    return numbers.astype(int)


def _parse_kitti(path: str | Path, table: np.ndarray) -> np.ndarray:
    if table.shape[1] not in (12, 13):
        raise UserError(f"{path}: expected 12 numbers per line (KITTI poses), found {table.shape[1]}")
    table = table[:, -12:]
    poses = np.tile(np.eye(4), (len(table), 1, 1))
    poses[:, :3] = table.reshape(-1, 3, 4)
    _check_positions(path, table)
    wrong = np.flatnonzero(~are_rotations(poses[:, :3, :3]))
    if wrong.size:
        raise UserError(f"{path}: expected rotations and positions, found no rotation in pose {wrong[0] + 1}")
    return poses


def read_tum(path: str | Path) -> TimedPoses:
    """Reads a TUM file. Raises UserError if it is missing, malformed, not finite or not in temporal order."""
    return _parse_tum(path, _read_numbers(path))


def _parse_tum(path: str | Path, table: np.ndarray, repeats: bool = False) -> TimedPoses:
    """repeats: a time may come several times in a row, as in TUM's own truth; the first pose of it is taken."""
    if table.shape[1] != 8:
        raise UserError(
            f"{path}: expected 8 numbers per line (TUM: time, position, quaternion), found {table.shape[1]}"
        )
    if repeats:
        table = table[np.concatenate([[True], np.diff(table[:, 0]) != 0])]
    _check_ascending(path, table[:, 0])
    _check_positions(path, table[:, 1:])
    norms = np.linalg.norm(table[:, 4:], axis=1)
    if np.any(np.abs(norms - 1) > 0.01):
        raise UserError(
            f"{path}: expected quaternions of length 1, found one of {norms[np.argmax(abs(norms - 1))]:.3g}"
        )
    poses = np.tile(np.eye(4), (len(table), 1, 1))
    poses[:, :3, :3] = quaternions_to_rotations(table[:, 4:])
    poses[:, :3, 3] = table[:, 1:4]
    return TimedPoses(poses, table[:, 0])


def read_times(path: str | Path) -> np.ndarray:
    """Reads KITTI's times.txt: [N] seconds. Raises UserError unless it has one finite number per line, ascending."""
    table = _read_numbers(path)
    if table.shape[1] != 1:
        raise UserError(f"{path}: expected one time per line, found {table.shape[1]} numbers")
    _check_ascending(path, table[:, 0])
    return table[:, 0]


def format_tum(poses: np.ndarray, times_s: np.ndarray) -> str:
    """The text of a TUM file for [N, 4, 4] at [N] seconds: `time tx ty tz qx qy qz qw`, six decimals each."""
    table = np.column_stack([times_s, poses[:, :3, 3], rotations_to_quaternions(poses[:, :3, :3])])
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in table)


def format_kitti(poses: np.ndarray) -> str:
    """The text of a KITTI odometry file for [N, 4, 4]: the upper three rows of each matrix on one line."""
    return "".join(" ".join(f"{value:.6e}" for value in pose[:3].ravel()) + "\n" for pose in poses)


def rotations_to_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Converts [N, 3, 3] to unit quaternions [N, 4] (x, y, z, w).

    Parity: computed from the angles of Rx @ Ry @ Rz, as in the release, to reproduce its files to the last digit.
    """
    r = np.moveaxis(rotations, 0, -1)
    cosine_y = np.hypot(r[0, 0], r[0, 1])
    # Gimbal lock: if y is a right angle, only the sum of the other two is defined; all of it is assigned to z.
    locked = cosine_y < 1e-6
    x = np.where(locked, 0.0, np.arctan2(-r[1, 2], r[2, 2]))
    y = np.arctan2(r[0, 2], cosine_y)
    z = np.where(locked, np.arctan2(r[1, 0], r[1, 1]), np.arctan2(-r[0, 1], r[0, 0]))
    (cx, cy, cz), (sx, sy, sz) = ([half(angle / 2) for angle in (x, y, z)] for half in (np.cos, np.sin))
    return np.stack(
        [
            sx * cy * cz + cx * sy * sz,
            cx * sy * cz - sx * cy * sz,
            cx * cy * sz + sx * sy * cz,
            cx * cy * cz - sx * sy * sz,
        ],
        axis=-1,
    )


def quaternions_to_rotations(quaternions: np.ndarray) -> np.ndarray:
    """Converts quaternions [N, 4] (x, y, z, w) of any norm but 0 to rotations [N, 3, 3]."""
    x, y, z, w = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def _read_numbers(path: str | Path) -> np.ndarray:
    """The numbers in a text file, [N, columns]; lines that start with # are comments."""
    rows: list[list[float]] = []
    for number, line in enumerate(read_lines(path, "a text file of numbers"), start=1):
        words = line.split()
        if not words or words[0][0] == "#":
            continue
        rows.append([_parse_number(word, f"{path} line {number}") for word in words])
        if len(words) != len(rows[0]):
            raise UserError(f"{path} line {number}: expected {len(rows[0])} numbers, found {len(words)}")
    if not rows:
        raise UserError(f"{path}: expected lines of numbers, found none")
    return np.array(rows)


def _parse_number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where}: expected finite numbers, found {text[:80]!r}")
    return number


def _check_positions(path: str | Path, numbers: np.ndarray) -> None:
    if not (np.abs(numbers) <= _MAX_POSITION_M).all():
        raise UserError(f"{path}: expected poses in metres, found the number {np.abs(numbers).max():.3g}")


def _check_ascending(path: str | Path, times_s: np.ndarray) -> None:
    late = np.flatnonzero(times_s[1:] <= times_s[:-1])
    if late.size:
        raise UserError(f"{path}: expected ascending times, found {times_s[late[0] + 1]} after {times_s[late[0]]}")
