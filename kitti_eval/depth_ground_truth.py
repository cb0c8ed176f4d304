"""Ground-truth depth of KITTI's test images: lidar scans, annotated depth maps and KITTI 2015 disparities."""

from __future__ import annotations

import functools
import reprlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval.errors import UserError
from kitti_eval.files import read_lines
from kitti_eval.images import MAX_PIXELS, open_image
from kitti_eval.trajectory import are_rotations

# A Velodyne scan has about 120,000 points; one of as many as this takes 160 MB.
_MAX_POINTS = 10**7
# Larger numbers than this are no calibration, and products of a few of them are still finite.
_MAX_ENTRY = 1e9


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
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
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
    """The entry `name` in the given shape.

    Raises UserError if it is missing, has another size, or holds numbers that no calibration has.
    """
    entry = calibration.get(name, np.zeros(0))
    if entry.size != np.prod(shape) or not (np.abs(entry) <= _MAX_ENTRY).all():
        found = reprlib.repr(entry.tolist())
        raise UserError(f"{path}: expected {np.prod(shape)} finite numbers after '{name}:', found {found}")
    return entry.reshape(shape)


@functools.cache
def read_projection(calibration_dir: Path, camera: int) -> Projection:
    """The projection of Velodyne points into rectified colour camera 2 or 3, from a date's calibration files.

    Raises UserError if a file is missing or describes no camera.
    """
    cameras_path, lidar_path = _calibration_files(calibration_dir)
    cameras, lidar = read_calibration(cameras_path), read_calibration(lidar_path)
    camera0_T_velodyne = np.eye(4)
    camera0_T_velodyne[:3, :3] = _take_rotation(lidar, lidar_path, "R")
    camera0_T_velodyne[:3, 3] = take_entry(lidar, lidar_path, "T", 3)
    rectified_T_camera0 = np.eye(4)
    rectified_T_camera0[:3, :3] = _take_rotation(cameras, cameras_path, "R_rect_00")
    image_T_rectified = take_entry(cameras, cameras_path, f"P_rect_{camera:02d}", 3, 4)
    if not (np.diag(image_T_rectified) > 0).all():
        raise UserError(f"{cameras_path}: expected focal lengths above 0 in 'P_rect_{camera:02d}:'")
    size = take_entry(cameras, cameras_path, f"S_rect_{camera:02d}", 2)
    if not (size >= 1).all() or np.prod(size) > MAX_PIXELS:
        raise UserError(f"{cameras_path}: expected the size of an image after 'S_rect_{camera:02d}:', found {size}")
    width, height = size.astype(int).tolist()
    return Projection(image_T_rectified @ rectified_T_camera0 @ camera0_T_velodyne, height, width)


def _calibration_files(calibration_dir: Path) -> tuple[Path, Path]:
    return calibration_dir / "calib_cam_to_cam.txt", calibration_dir / "calib_velo_to_cam.txt"


def _take_rotation(calibration: dict[str, np.ndarray], path: Path, name: str) -> np.ndarray:
    rotation = take_entry(calibration, path, name, 3, 3)
    if not are_rotations(rotation):
        raise UserError(f"{path}: expected a rotation after '{name}:', found {rotation.tolist()}")
    return rotation


def read_velodyne(path: Path) -> np.ndarray:
    """Reads a scan [N, 4] float32: x, y, z in metres, reflectance.

    Raises UserError if it is truncated, not finite or too large for a scan.
    """
    size = path.stat().st_size
    if size == 0 or size % 16 or size > 16 * _MAX_POINTS:
        raise UserError(f"{path}: expected rows of four finite float32 numbers, found {size} bytes")
    values = np.fromfile(path, np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: expected rows of four finite float32 numbers, found some that are not finite")
    return values.reshape(-1, 4)


def read_uint16_png(path: Path) -> np.ndarray:
    """Reads a KITTI depth or disparity map [H, W] float32: 16-bit value / 256, 0 where nothing was measured.

    Raises UserError if it is damaged or another kind of image.
    """
    import imageio.v3 as imageio

    with open_image(path, "a 16-bit PNG"):
        image = imageio.imread(path, plugin="pillow")
    if image.ndim != 2 or image.dtype != np.uint16:
        raise UserError(f"{path}: expected a 16-bit PNG of one channel, found {image.dtype} {list(image.shape)}")
    return image.astype(np.float32) / 256


def load_ground_truth(kitti_dir: Path, image_file: str, kind: str) -> GroundTruth | None:
    """The ground-truth depth of a listed image, or None if this copy of KITTI has no measurement for it.

    kind: `eigen` and `camera` project the image's Velodyne scan; `improved` reads KITTI's annotated depth; `stereo`
    converts a KITTI 2015 disparity to depth. Raises UserError for damaged files and a path of another form.
    """
    if kind == "stereo":
        return _load_disparity(kitti_dir, image_file)
    date, drive, camera, frame = _parse(image_file)
    if kind == "improved":
        path = _find_annotated_depth(kitti_dir, date, drive, f"proj_depth/groundtruth/{camera}/{frame}.png")
        return None if path is None else GroundTruth(read_uint16_png(path))
    scan, *_ = list_lidar_files(kitti_dir, image_file)
    if not scan.is_file():
        return None
    projection = read_projection(kitti_dir / date, int(camera[-1]))
    return GroundTruth(project_lidar(read_velodyne(scan), projection, "camera" if kind == "camera" else "forward"))


def list_lidar_files(kitti_dir: Path, image_file: str) -> list[Path]:
    """The files, present or not, of a listed image's lidar ground truth: scan and calibration."""
    date, drive, _, frame = _parse(image_file)
    scan = kitti_dir / date / drive / "velodyne_points" / "data" / f"{frame}.bin"
    return [scan, *_calibration_files(kitti_dir / date)]


def _parse(image_file: str) -> tuple[str, str, str, str]:
    """Date, drive, camera's folder and frame of a listed image."""
    parts = Path(image_file).parts
    if len(parts) != 5 or parts[2] not in ("image_02", "image_03"):
        raise UserError(f"test image {image_file}: expected <date>/<drive>/image_02/data/<frame>.png (or image_03)")
    date, drive, camera, _, name = parts
    return date, drive, camera, Path(name).stem


def _find_annotated_depth(kitti_dir: Path, date: str, drive: str, rest: str) -> Path | None:
    """Looks in the drive's folder of KITTI raw, and in train/ and val/ as the annotated depth is distributed."""
    candidates = (kitti_dir / folder / drive / rest for folder in (date, "train", "val"))
    return next((path for path in candidates if path.is_file()), None)


def _load_disparity(kitti_dir: Path, image_file: str) -> GroundTruth | None:
    folder, frame = kitti_dir / Path(image_file).parts[0], Path(image_file).stem
    path = folder / "disp_occ_0" / f"{frame}.png"
    if not path.is_file():
        return None
    disparity_px = read_uint16_png(path)
    calibration_path = folder / "calib_cam_to_cam" / f"{frame.split('_')[0]}.txt"
    calibration = read_calibration(calibration_path)
    left, right = (take_entry(calibration, calibration_path, f"P_rect_0{camera}", 3, 4) for camera in (2, 3))
    focal_baseline = float(left[0, 3] - right[0, 3])
    if focal_baseline <= 0:
        raise UserError(f"{calibration_path}: expected camera 3 to the right of camera 2, found {-focal_baseline} px m")
    measured = disparity_px > 0
    return GroundTruth(np.where(measured, focal_baseline / np.where(measured, disparity_px, 1), 0), focal_baseline)
