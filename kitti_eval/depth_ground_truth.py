"""Ground-truth depth of KITTI's test images: lidar scans, annotated depth maps and KITTI 2015 disparities."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval.errors import UserError
from kitti_eval.files import read_lines


class GroundTruth(NamedTuple):
    """depth_m: [H, W], metres, 0 where nothing was measured.

    focal_baseline: focal length times baseline in pixel metres, so that disparity = focal_baseline / depth; None
    if the depth does not come from a disparity.
    """

    depth_m: np.ndarray
    focal_baseline: float | None = None


class Projection(NamedTuple):
    """matrix: image_T_velodyne [3, 4], metres to homogeneous pixels. height, width: of the rectified image."""

    matrix: np.ndarray
    height: int
    width: int


def project_lidar(points_m: np.ndarray, projection: Projection, depth: str = "forward") -> np.ndarray:
    """The depth map [H, W] float32 of lidar points [N, 3 or more] (x forward, y left, z up; further columns unused).

    depth: `forward` stores the distance along the lidar's x axis, as in the evaluation of Eigen et al.; `camera` stores
    camera z. A pixel gets the depth of its nearest point, or 0 if it has none.
    """
    points_m = points_m[points_m[:, 0] >= 0]
    u_times_z, v_times_z, camera_z = projection.matrix[:, :3] @ points_m[:, :3].T + projection.matrix[:, 3:]
    # Parity: KITTI's MATLAB tools count pixels from 1, so the rounded position is shifted by one.
    with np.errstate(divide="ignore", invalid="ignore"):
        columns, rows = np.rint(u_times_z / camera_z) - 1, np.rint(v_times_z / camera_z) - 1
    inside = (columns >= 0) & (columns < projection.width) & (rows >= 0) & (rows < projection.height) & (camera_z > 0)
    depth_m = (points_m[:, 0] if depth == "forward" else camera_z)[inside]
    # Written from far to near, so that the nearest point of a pixel is kept.
    far_to_near = np.argsort(-depth_m)
    depth_map = np.zeros((projection.height, projection.width), np.float32)
    depth_map[rows[inside].astype(int)[far_to_near], columns[inside].astype(int)[far_to_near]] = depth_m[far_to_near]
    return depth_map


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    """The numeric lines `name: numbers` of a KITTI calibration file. Raises UserError if it cannot be read."""
    entries = {}
    for name, _, values in (line.partition(":") for line in read_lines(path, "a KITTI calibration file")):
        try:
            entries[name] = np.array(values.split(), float)
        except ValueError:  # calib_time is a date
            continue
    return entries


def take_entry(calibration: dict[str, np.ndarray], path: Path, name: str, *shape: int) -> np.ndarray:
    """The entry `name` in the given shape. Raises UserError if it is missing, not finite or has another size."""
    entry = calibration.get(name, np.zeros(0))
    if entry.size != np.prod(shape) or not np.isfinite(entry).all():
        raise UserError(f"{path}: expected {np.prod(shape)} finite numbers after '{name}:', found {entry.tolist()}")
    return entry.reshape(shape)


@functools.cache
def read_projection(calibration_dir: Path, camera: int) -> Projection:
    """The projection of Velodyne points into rectified colour camera 2 or 3, from a date's calibration files."""
    cameras_path, lidar_path = calibration_dir / "calib_cam_to_cam.txt", calibration_dir / "calib_velo_to_cam.txt"
    cameras, lidar = read_calibration(cameras_path), read_calibration(lidar_path)
    camera0_T_velodyne = np.eye(4)
    camera0_T_velodyne[:3, :3] = take_entry(lidar, lidar_path, "R", 3, 3)
    camera0_T_velodyne[:3, 3] = take_entry(lidar, lidar_path, "T", 3)
    rectified_T_camera0 = np.eye(4)
    rectified_T_camera0[:3, :3] = take_entry(cameras, cameras_path, "R_rect_00", 3, 3)
    image_T_rectified = take_entry(cameras, cameras_path, f"P_rect_{camera:02d}", 3, 4)
    width, height = take_entry(cameras, cameras_path, f"S_rect_{camera:02d}", 2).astype(int).tolist()
    return Projection(image_T_rectified @ rectified_T_camera0 @ camera0_T_velodyne, height, width)


def read_velodyne(path: Path) -> np.ndarray:
    """Reads a scan [N, 4] float32: x, y, z in metres, reflectance. Raises UserError if truncated or not finite."""
    values = np.fromfile(path, np.float32)
    if values.size == 0 or values.size % 4 or path.stat().st_size != values.nbytes or not np.isfinite(values).all():
        raise UserError(
            f"{path}: expected rows of four finite float32 numbers, found {path.stat().st_size} bytes or NaN"
        )
    return values.reshape(-1, 4)


def read_uint16_png(path: Path) -> np.ndarray:
    """Reads a KITTI depth or disparity map [H, W] float32: 16-bit value / 256, 0 where nothing was measured."""
    import imageio.v3 as imageio

    try:
        image = imageio.imread(path, plugin="pillow")
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: expected a 16-bit PNG; cannot read it ({error})") from error
    if image.ndim != 2 or image.dtype != np.uint16:
        raise UserError(f"{path}: expected a 16-bit PNG of one channel, found {image.dtype} {list(image.shape)}")
    return image.astype(np.float32) / 256


def load_ground_truth(kitti_dir: Path, image_file: str, kind: str) -> GroundTruth | None:
    """The ground-truth depth of a listed image, or None if this copy of KITTI has no measurement for it.

    kind: `eigen` and `camera` project the image's Velodyne scan; `improved` reads KITTI's annotated depth; `stereo`
    converts a KITTI 2015 disparity to depth.
    """
    if kind == "stereo":
        return _load_disparity(kitti_dir, image_file)
    parts = Path(image_file).parts
    if len(parts) != 5 or not parts[2].startswith("image_0") or parts[2][-1] not in "23":
        raise UserError(f"test image {image_file}: expected <date>/<drive>/image_02/data/<frame>.png (or image_03)")
    date, drive, camera, _, name = parts
    frame = Path(name).stem
    if kind == "improved":
        path = _find_annotated_depth(kitti_dir, date, drive, f"proj_depth/groundtruth/{camera}/{frame}.png")
        return None if path is None else GroundTruth(read_uint16_png(path))
    scan = kitti_dir / date / drive / "velodyne_points" / "data" / f"{frame}.bin"
    if not scan.is_file():
        return None
    projection = read_projection(kitti_dir / date, int(camera[-1]))
    return GroundTruth(project_lidar(read_velodyne(scan), projection, "camera" if kind == "camera" else "forward"))


def _find_annotated_depth(kitti_dir: Path, date: str, drive: str, rest: str) -> Path | None:
    """Looks in the drive's folder of KITTI raw, and in train/ and val/ as the annotated depth is distributed."""
    candidates = (kitti_dir / folder / drive / rest for folder in (date, "train", "val"))
    return next((path for path in candidates if path.is_file()), None)


def _load_disparity(kitti_dir: Path, image_file: str) -> GroundTruth | None:
    folder, name = Path(image_file).parts[0], Path(image_file).name
    path = kitti_dir / folder / "disp_occ_0" / name
    if not path.is_file():
        return None
    disparity_px = read_uint16_png(path)
    calibration_path = kitti_dir / folder / "calib_cam_to_cam" / f"{name.split('_')[0]}.txt"
    calibration = read_calibration(calibration_path)
    left, right = (take_entry(calibration, calibration_path, f"P_rect_0{camera}", 3, 4) for camera in (2, 3))
    focal_baseline = float(left[0, 3] - right[0, 3])
    measured = disparity_px > 0
    return GroundTruth(np.where(measured, focal_baseline / np.where(measured, disparity_px, 1), 0), focal_baseline)
