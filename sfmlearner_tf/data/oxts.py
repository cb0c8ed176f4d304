"""Camera poses of a KITTI raw drive, from its GPS/IMU recordings and its date's calibration.

Geiger et al., "Vision meets Robotics: The KITTI Dataset", IJRR 2013: positions by the Mercator projection.
"""

from __future__ import annotations

import os

import numpy as np
from scipy.spatial.transform import Rotation

from sfmlearner_tf.errors import UserError

EARTH_RADIUS_M = 6378137.0
# Indices among the 30 numbers of a recording.
_LATITUDE, _LONGITUDE, _ALTITUDE, _ROLL, _PITCH, _YAW = range(6)


def read_camera_poses(date_dir: str, drive: str, camera: str = "02") -> np.ndarray:
    """The poses `world_T_cam` [n, 4, 4] of a camera, metres; the world frame is the IMU's at the first recording.

    Args:
        date_dir: folder of the date, such as kitti_raw/2011_09_26, with the three calibration files.
        drive: such as 2011_09_26_drive_0001_sync; each of its frames must have a recording.

    Raises:
        UserError: a file is missing or malformed.
    """
    folder = os.path.join(date_dir, drive, "oxts", "data")
    if not os.path.isdir(folder):
        raise UserError(f"{folder} not found: expected the drive's GPS/IMU recordings, one file per frame")
    rows = [_read_numbers(os.path.join(folder, name), 30) for name in sorted(os.listdir(folder))]
    poses = convert_oxts(np.array(rows))
    cam_T_imu = _read_camera_T_imu(date_dir, camera)
    return np.linalg.inv(poses[0]) @ poses @ np.linalg.inv(cam_T_imu)


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
    rectify[:3, :3] = _read_entry(path, "R_rect_00", 9).reshape(3, 3)
    projection = _read_entry(path, f"P_rect_{camera}", 12).reshape(3, 4)
    shift[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    return shift @ rectify @ cam_T_velo @ velo_T_imu


def _rigid(path: str) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = _read_entry(path, "R", 9).reshape(3, 3)
    matrix[:3, 3] = _read_entry(path, "T", 3)
    return matrix


def _read_entry(path: str, key: str, count: int) -> np.ndarray:
    lines = dict(line.split(":", 1) for line in _read_text(path).splitlines() if ":" in line)
    return _parse(lines.get(key, ""), count, f"{path}, entry {key}")


def _read_numbers(path: str, count: int) -> np.ndarray:
    return _parse(_read_text(path), count, path)


def _parse(text: str, count: int, where: str) -> np.ndarray:
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise UserError(f"{where}: expected {count} finite numbers, found {text.strip()[:60]!r}")
    return numbers


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
