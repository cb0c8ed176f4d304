"""A tiny dataset with lidar in KITTI raw's layout, made by hand: the camera looks along the lidar's x axis."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kitti_eval.depth_ground_truth import Projection

HEIGHT, WIDTH = 30, 60
FOCAL_PX = 40.0
DRIVE = "2011_09_26_drive_0001_sync"
CAMERAS = f"""calib_time: 09-Jan-2012 13:57:47
S_rect_02: {WIDTH} {HEIGHT}
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: {FOCAL_PX} 0 {WIDTH / 2} 0 0 {FOCAL_PX} {HEIGHT / 2} 0 0 0 1 0
"""
LIDAR = "calib_time: 15-Mar-2012 11:37:16\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 -0.25\n"
# image_T_velodyne of the two texts above: the camera sits 0.25 m in front of the lidar.
PROJECTION = Projection(
    np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]])
    @ np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, -0.25]]),
    HEIGHT,
    WIDTH,
)


def make_scan(seed: int = 0, points: int = 4000) -> np.ndarray:
    """float32 [points, 4]: all around, from 2 to 60 m away."""
    random = np.random.RandomState(seed)
    distance, azimuth = random.uniform(2, 60, points), random.uniform(-np.pi, np.pi, points)
    height = distance * random.uniform(-0.4, 0.4, points)
    scan = [distance * np.cos(azimuth), distance * np.sin(azimuth), height, random.uniform(0, 1, points)]
    return np.stack(scan, axis=1).astype(np.float32)


def name_image(frame: int) -> str:
    return f"2011_09_26/{DRIVE}/image_02/data/{frame:010d}.png"


def write_lidar_drive(kitti_dir: Path, frames: Iterable[int]) -> None:
    """Calibration and one scan a frame."""
    folder = kitti_dir / "2011_09_26" / DRIVE / "velodyne_points" / "data"
    folder.mkdir(parents=True)
    (kitti_dir / "2011_09_26" / "calib_cam_to_cam.txt").write_text(CAMERAS)
    (kitti_dir / "2011_09_26" / "calib_velo_to_cam.txt").write_text(LIDAR)
    for frame in frames:
        make_scan(frame).tofile(folder / f"{frame:010d}.bin")
