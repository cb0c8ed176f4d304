"""Camera poses of a KITTI raw drive, from its GPS/IMU recordings and its date's calibration.

Geiger et al., "Vision meets Robotics: The KITTI Dataset", IJRR 2013: positions by the Mercator projection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from kitti_eval.files import read_lines, read_text
from sfmlearner_tf.errors import UserError

EARTH_RADIUS_M = 6378137.0
# Indices among the 30 numbers of a recording.
_LATITUDE, _LONGITUDE, _ALTITUDE, _ROLL, _PITCH, _YAW = range(6)
# Neither recordings nor calibration hold larger numbers; products of a few of them are finite.
_LARGEST = 1e6


def read_camera_poses(date_dir: str, drive: str, camera: str = "02", frames: Sequence[int] | None = None) -> np.ndarray:
    """The poses `world_T_cam` [n, 4, 4] of a camera, metres; the world frame is the IMU's at the first recording.

    Args:
        date_dir: folder of the date, such as kitti_raw/2011_09_26, with the three calibration files.
        drive: such as 2011_09_26_drive_0001_sync; each of its frames must have a recording.
        frames: numbers of the frames whose poses to return, in this order; by default all. No other recordings are
            read but the first one, which gives the world frame.

    Raises:
        UserError: a file is missing or malformed.
    """
    folder = os.path.join(date_dir, drive, "oxts", "data")
    paths = _list_recordings(folder)
    numbers = list(paths) if frames is None else list(frames)
    for number in numbers:
        if number not in paths:
            raise UserError(f"{folder}: expected a GPS/IMU recording of frame {number}, found none")
    first = next(iter(paths))
    poses = convert_oxts(np.array([_read_recording(paths[number]) for number in (first, *numbers)]))
    world_T_cam = np.linalg.inv(poses[0]) @ poses[1:] @ np.linalg.inv(_read_camera_T_imu(date_dir, camera))
    if not (np.abs(world_T_cam) <= EARTH_RADIUS_M).all():
        raise UserError(f"{date_dir}: expected calibration and recordings of one drive, found poses without bounds")
    return world_T_cam


def list_recorded_frames(date_dir: str, drive: str) -> set[int]:
    """The numbers of the frames of a drive that have a recording."""
    with contextlib.suppress(UserError):
        return set(_list_recordings(os.path.join(date_dir, drive, "oxts", "data")))
    return set()


def _list_recordings(folder: str) -> dict[int, str]:
    """The paths of the recordings by frame number, in order."""
    stems = [os.path.splitext(name) for name in (os.listdir(folder) if os.path.isdir(folder) else ())]
    numbered = sorted((int(stem), stem) for stem, extension in stems if stem.isdecimal() and extension == ".txt")
    if not numbered:
        raise UserError(f"{folder}: expected the drive's GPS/IMU recordings, one file per frame, found none")
    return {number: os.path.join(folder, f"{stem}.txt") for number, stem in numbered}


def convert_oxts(recordings: np.ndarray) -> np.ndarray:
    """Turns recordings [n, 30] into poses `mercator_T_imu` [n, 4, 4], x east, y north, z up, metres."""
    latitude, longitude = np.radians(recordings[:, _LATITUDE]), np.radians(recordings[:, _LONGITUDE])
    radius = EARTH_RADIUS_M * np.cos(latitude[0])
    poses = np.tile(np.eye(4), (len(recordings), 1, 1))
    poses[:, 0, 3] = radius * longitude
    poses[:, 1, 3] = radius * np.log(np.tan(np.pi / 4 + latitude / 2))
    poses[:, 2, 3] = recordings[:, _ALTITUDE]
    angles = recordings[:, [_YAW, _PITCH, _ROLL]]
    poses[:, :3, :3] = Rotation.from_euler("ZYX", angles).as_matrix()
    return poses


def _read_camera_T_imu(date_dir: str, camera: str) -> np.ndarray:
    velo_T_imu = _rigid(os.path.join(date_dir, "calib_imu_to_velo.txt"))
    cam_T_velo = _rigid(os.path.join(date_dir, "calib_velo_to_cam.txt"))
    path = os.path.join(date_dir, "calib_cam_to_cam.txt")
    rectify, shift = np.eye(4), np.eye(4)
    rectify[:3, :3] = _read_rotation(path, "R_rect_00")
    projection = _read_entry(path, f"P_rect_{camera}", 12).reshape(3, 4)
    # So it has an inverse.
    if np.tril(projection, -1).any() or not (np.diag(projection) >= 1e-3).all():
        raise UserError(
            f"{path}: expected the projection of a camera after P_rect_{camera}, found {projection.tolist()}"
        )
    shift[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    return shift @ rectify @ cam_T_velo @ velo_T_imu


def _rigid(path: str) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = _read_rotation(path, "R")
    matrix[:3, 3] = _read_entry(path, "T", 3)
    return matrix


def _read_rotation(path: str, key: str) -> np.ndarray:
    rotation = _read_entry(path, key, 9).reshape(3, 3)
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=0.01) or np.linalg.det(rotation) < 0:
        raise UserError(f"{path}: expected a rotation after {key}, found {rotation.tolist()}")
    return rotation


def _read_entry(path: str, key: str, count: int) -> np.ndarray:
    lines = read_lines(path, "calibration of KITTI raw")
    entries = dict(line.split(":", 1) for line in lines if ":" in line)
    return _parse(entries.get(key, ""), count, f"{path}, entry {key}")


def _read_recording(path: str) -> np.ndarray:
    numbers = _parse(read_text(path, "a GPS/IMU recording"), 30, path)
    if abs(numbers[_LATITUDE]) > 89:
        raise UserError(f"{path}: expected a latitude of at most 89 degrees, found {numbers[_LATITUDE]:g}")
    return numbers


def _parse(text: str, count: int, where: str) -> np.ndarray:
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or not (np.abs(numbers) <= _LARGEST).all():
        raise UserError(f"{where}: expected {count} finite numbers, found {text.strip()[:60]!r}")
    return numbers
