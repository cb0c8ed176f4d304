"""The official file formats of KITTI raw and KITTI odometry, written from exact poses and intrinsics.

Frames: `imu` x forward, y left, z up; `velo` likewise; `cam0` the rectified reference camera, x right, y down, z
forward; `cam2` and `cam3` the left and right colour cameras, shifted from cam0 along x. No camera has distortion.
"""

from __future__ import annotations

import datetime
import io

import imageio.v2 as imageio
import numpy as np
from scipy.spatial.transform import Rotation

from kitti_eval.files import write_whole

FRAME_SECONDS = 0.1
# x_cam - x_cam0 of a point, metres: camera 2 is 0.06 m left of camera 0 and 0.54 m left of camera 3.
_CAMERA_SHIFT_M = {0: 0.0, 1: -0.54, 2: 0.06, 3: -0.48}
_EARTH_RADIUS_M = 6378137.0
_ORIGIN = (49.0, 8.4, 115.0)  # a drive's first frame: latitude and longitude in degrees, altitude in metres
_GRAVITY = 9.81
# A small rotation between any two sensors, as on the real car: code that forgets one of them gets wrong numbers.
_RECTIFY = Rotation.from_euler("xyz", [0.0042, 0.0074, -0.0098]).as_matrix()
_AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # velo (forward, left, up) as camera (right, down, forward)
# World (x right, y down, z forward) to east, north, up: the street starts eastwards.
_enu_R_world = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def transform(rotation: np.ndarray, translation: np.ndarray | tuple[float, float, float]) -> np.ndarray:
    """The matrix [4, 4] of a rotation [3, 3] followed by a translation [3]."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


cam_T_velo = transform(
    Rotation.from_euler("xyz", [-0.006, 0.0075, 0.0105]).as_matrix() @ _AXES, (-0.004, -0.076, -0.272)
)
velo_T_imu = transform(Rotation.from_euler("xyz", [0.0148, -0.002, -0.0008]).as_matrix(), (-0.81, 0.32, -0.80))
cam0_T_velo = transform(_RECTIFY, (0, 0, 0)) @ cam_T_velo
cam2_T_cam0 = transform(np.eye(3), (_CAMERA_SHIFT_M[2], 0, 0))
cam2_T_cam3 = transform(np.eye(3), (_CAMERA_SHIFT_M[2] - _CAMERA_SHIFT_M[3], 0, 0))
cam2_T_velo = cam2_T_cam0 @ cam0_T_velo


def write_text(path: str, text: str) -> None:
    """Writes a text file atomically."""
    write_whole(path, text.encode())


def png_bytes(image: np.ndarray) -> bytes:
    """Encodes an image [H, W] or [H, W, 3], uint8 or uint16, as PNG; low compression is several times faster."""
    buffer = io.BytesIO()
    imageio.imwrite(buffer, image, format="png", compress_level=1)
    return buffer.getvalue()


def depth_png_bytes(depth_m: np.ndarray) -> bytes:
    """KITTI's annotated depth from depth [H, W] in metres: uint16, 256 per metre, 0 where unknown or above 255.99 m."""
    steps = np.rint(depth_m * 256)
    return png_bytes(np.where(steps < 2**16, steps, 0).astype(np.uint16))


def cam_to_cam_text(intrinsics: np.ndarray, height: int, width: int) -> str:
    """calib_cam_to_cam.txt of KITTI raw: cameras 00 to 03 before and after rectification."""
    lines = ["calib_time: 26-Sep-2011 12:00:00", "corner_dist: 9.950000e-02"]
    size = np.array([width, height])
    for number, shift_m in _CAMERA_SHIFT_M.items():
        entries = {
            "S": size,
            "K": intrinsics,
            "D": np.zeros(5),
            "R": np.eye(3),
            "T": _RECTIFY.T @ [shift_m, 0, 0],
            "S_rect": size,
            "R_rect": _RECTIFY,
            "P_rect": _projection(intrinsics, number),
        }
        lines += [f"{key}_{number:02d}: {_numbers(value)}" for key, value in entries.items()]
    return "\n".join(lines) + "\n"


def velo_to_cam_text() -> str:
    """calib_velo_to_cam.txt of KITTI raw: from the lidar to camera 0 before rectification."""
    zeros = _numbers(np.zeros(2))
    return _rigid_text(cam_T_velo) + f"delta_f: {zeros}\ndelta_c: {zeros}\n"


def imu_to_velo_text() -> str:
    """calib_imu_to_velo.txt of KITTI raw."""
    return _rigid_text(velo_T_imu)


def odometry_calibration_text(intrinsics: np.ndarray) -> str:
    """calib.txt of KITTI odometry: P0 to P3, and Tr from the lidar to the rectified camera 0."""
    rows = [f"P{number}: {_numbers(_projection(intrinsics, number))}" for number in _CAMERA_SHIFT_M]
    return "\n".join([*rows, f"Tr: {_numbers(cam0_T_velo[:3])}"]) + "\n"


def odometry_poses_text(world_T_cam2: np.ndarray) -> str:
    """poses/NN.txt of KITTI odometry: one row of 12 numbers per frame, camera 0's pose relative to its first frame.

    Args:
      world_T_cam2: [n, 4, 4].
    """
    world_T_cam0 = world_T_cam2 @ cam2_T_cam0
    first_T_cam0 = np.linalg.inv(world_T_cam0[0]) @ world_T_cam0
    return "".join(f"{_numbers(pose[:3])}\n" for pose in first_T_cam0)


def times_text(frames: int) -> str:
    """times.txt of KITTI odometry: seconds since the first frame."""
    return "".join(f"{number * FRAME_SECONDS:.6e}\n" for number in range(frames))


def timestamps_text(date: str, frames: int, late_s: float = 0.0) -> str:
    """timestamps.txt of KITTI raw: `2011-09-26 12:00:00.100000000` per frame, for the date "2011_09_26"."""
    start = datetime.datetime.strptime(date, "%Y_%m_%d").replace(hour=12)
    moments = (start + datetime.timedelta(seconds=number * FRAME_SECONDS + late_s) for number in range(frames))
    return "".join(f"{moment:%Y-%m-%d %H:%M:%S.%f}000\n" for moment in moments)


def oxts_texts(world_T_cam2: np.ndarray) -> list[str]:
    """oxts/data/*.txt of KITTI raw: the 30 numbers of the GPS/IMU unit for each frame.

    KITTI's Mercator projection of latitude and longitude, with yaw, pitch and roll, recovers the poses.

    Args:
      world_T_cam2: [n, 4, 4].
    """
    enu_T_imu = transform(_enu_R_world, (0, 0, 0)) @ world_T_cam2 @ cam2_T_velo @ velo_T_imu
    position = enu_T_imu[:, :3, 3] - enu_T_imu[0, :3, 3]
    rotation = Rotation.from_matrix(enu_T_imu[:, :3, :3])
    yaw_pitch_roll = rotation.as_euler("ZYX")
    level = Rotation.from_euler("Z", yaw_pitch_roll[:, :1])  # forward, left, up along the ground

    velocity = _per_second(position)
    acceleration = _per_second(velocity)
    spin = _spin(rotation)
    felt = acceleration + np.array([0, 0, _GRAVITY])
    fixed = [0.05, 0.02, 4, 11, 6, 6, 6]  # accuracies; navigation status, satellites, and the three modes
    rows = np.concatenate(
        [
            _latitude_longitude_altitude(position),
            yaw_pitch_roll[:, ::-1],
            velocity[:, [1, 0]],
            level.inv().apply(velocity),
            rotation.inv().apply(felt),
            level.inv().apply(felt),
            spin,
            level.inv().apply(rotation.apply(spin)),
        ],
        axis=-1,
    )
    return [" ".join(f"{value:.16g}" for value in [*row, *fixed]) + "\n" for row in rows]


def _latitude_longitude_altitude(position: np.ndarray) -> np.ndarray:
    """Inverts KITTI's Mercator projection: [n, 3] metres east, north, up to [n, 3] degrees, degrees, metres."""
    latitude, longitude, altitude_m = _ORIGIN
    scale = np.cos(np.radians(latitude))
    east = position[:, 0] / (scale * _EARTH_RADIUS_M)
    north = position[:, 1] / (scale * _EARTH_RADIUS_M) + np.log(np.tan(np.radians(90 + latitude) / 2))
    return np.stack(
        [2 * np.degrees(np.arctan(np.exp(north))) - 90, longitude + np.degrees(east), altitude_m + position[:, 2]],
        axis=-1,
    )


def _per_second(values: np.ndarray) -> np.ndarray:
    return np.gradient(values, FRAME_SECONDS, axis=0) if len(values) > 1 else np.zeros_like(values)


def _spin(rotation: Rotation) -> np.ndarray:
    """Angular rates [n, 3] rad/s about the unit's own axes, frame to frame; the last row repeats the one before it."""
    if len(rotation) == 1:
        return np.zeros((1, 3))
    turn = (rotation[:-1].inv() * rotation[1:]).as_rotvec() / FRAME_SECONDS
    return np.concatenate([turn, turn[-1:]])


def _projection(intrinsics: np.ndarray, camera: int) -> np.ndarray:
    """Projection [3, 4] from rectified camera 0 to the pixels of a camera."""
    return intrinsics @ np.concatenate([np.eye(3), [[_CAMERA_SHIFT_M[camera]], [0], [0]]], axis=-1)


def _rigid_text(matrix: np.ndarray) -> str:
    return f"calib_time: 26-Sep-2011 12:00:00\nR: {_numbers(matrix[:3, :3])}\nT: {_numbers(matrix[:3, 3])}\n"


def _numbers(values: np.ndarray) -> str:
    # Twelve digits, twice KITTI's: rounded calibration must not limit the exact poses and depth.
    return " ".join(f"{value:.12e}" for value in np.ravel(values))
