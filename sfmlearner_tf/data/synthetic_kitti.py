"""Writes generated streets in the official layouts of KITTI raw and KITTI odometry."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from kitti_eval.files import write_whole
from kitti_eval.locks import lock_folder
from kitti_eval.workers import ordered_map
from sfmlearner_tf.data import kitti_writer as kitti
from sfmlearner_tf.data.synthetic import Scene, intrinsics, make_scene, trajectory
from sfmlearner_tf.data.synthetic_options import Drive, SyntheticKitti, check, claim_folder, drives
from sfmlearner_tf.data.synthetic_render import cast_centres, render_depth, render_image, scan
from sfmlearner_tf.data.synthetic_traffic import Car, make_traffic, objects_text, scene_at
from sfmlearner_tf.errors import UserError

# 64 beams from 2 degrees above to 24.8 below the horizon, as in the real lidar; only the sector ahead of the car.
_AZIMUTH_RAD = np.radians(np.arange(-52, 52.25, 0.5))
_ELEVATION_RAD = np.radians(np.linspace(-24.8, 2.0, 64))


def write_dataset(output_dir: str, options: SyntheticKitti, processes: int) -> int:
    """Renders the missing files; their bytes do not depend on the number of processes.

    Files are written atomically, so running it again resumes a stopped run.

    Returns:
      The number of frames rendered (a stereo pair counts as one).

    Raises:
      UserError: an option is out of range; the folder cannot be written, holds a data set with other options, or
        another process writes to it; or a worker process was killed.
    """
    check(options)
    with lock_folder(output_dir):
        claim_folder(output_dir, options)
        return _write_drives(output_dir, options, processes)


def _write_drives(output_dir: str, options: SyntheticKitti, processes: int) -> int:
    listed = drives(options)
    try:
        for drive in listed:
            _write_missing(_scene_files(output_dir, options, drive))
        if "raw" in options.layouts:
            _write_missing({os.path.join(output_dir, "kitti_raw", "test_files.txt"): lambda: _test_files_text(options)})
        tasks = [
            _Task(output_dir, options, drive, frame)
            for drive in listed
            for frame in range(options.frames_per_scene)
            if any(not os.path.exists(path) for path in _frame_files(output_dir, options, drive, frame))
        ]
        written = ordered_map(_write_frame, tasks, processes)
        progress = tqdm(total=len(tasks), unit="frame", desc="rendering", disable=None)
        with _one_thread_each(), contextlib.closing(written), progress:
            for _ in written:
                progress.update()
    except OSError as error:
        raise UserError(f"output_dir={output_dir}: cannot be written: {error}") from error
    return len(tasks)


class _Task(NamedTuple):
    output_dir: str
    options: SyntheticKitti
    drive: Drive
    frame: int


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started in this context run BLAS on one thread, so that they do not compete for cores."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _write_missing(files: dict[str, Callable[[], str]]) -> None:
    for path, text in files.items():
        if not os.path.exists(path):
            kitti.write_text(path, text())


def _scene_files(output_dir: str, options: SyntheticKitti, drive: Drive) -> dict[str, Callable[[], str]]:
    """The files of a drive as a whole, each with the function that makes its text."""
    camera = intrinsics(options.img_height, options.img_width, options.focal_length)
    frames = options.frames_per_scene
    world = functools.partial(_world, drive.scene_seed, frames, options.traffic)
    files: dict[str, Callable[[], str]] = {}
    if "raw" in options.layouts:
        date_dir, drive_dir = os.path.dirname(drive.raw_dir(output_dir)), drive.raw_dir(output_dir)
        files[os.path.join(date_dir, "calib_cam_to_cam.txt")] = functools.partial(
            kitti.cam_to_cam_text, camera, options.img_height, options.img_width
        )
        files[os.path.join(date_dir, "calib_velo_to_cam.txt")] = kitti.velo_to_cam_text
        files[os.path.join(date_dir, "calib_imu_to_velo.txt")] = kitti.imu_to_velo_text
        for sensor in [*_raw_cameras(options), "oxts", "velodyne_points"]:
            files[os.path.join(drive_dir, sensor, "timestamps.txt")] = functools.partial(
                kitti.timestamps_text, drive.date, frames
            )
        if options.traffic:
            files[os.path.join(drive_dir, "objects.csv")] = lambda: objects_text(world().cars, world().world_T_cam)
    if "odometry" in options.layouts and drive.sequence is not None:
        sequence_dir = drive.sequence_dir(output_dir)
        files[os.path.join(sequence_dir, "calib.txt")] = functools.partial(kitti.odometry_calibration_text, camera)
        files[os.path.join(sequence_dir, "times.txt")] = functools.partial(kitti.times_text, frames)
        poses = os.path.join(output_dir, "kitti_odometry", "poses", f"{drive.sequence:02d}.txt")
        files[poses] = lambda: kitti.odometry_poses_text(world().world_T_cam)
    return files


def _frame_files(
    output_dir: str, options: SyntheticKitti, drive: Drive, frame: int
) -> dict[str, Callable[[_View], bytes]]:
    """The files of one frame, each with the function that makes its content."""
    files: dict[str, Callable[[_View], bytes]] = {}
    if "raw" in options.layouts:
        raw, name = drive.raw_dir(output_dir), f"{frame:010d}"
        for camera in _raw_cameras(options):
            picture = os.path.join(raw, camera, "data", f"{name}.png")
            files[picture] = functools.partial(_View.picture, camera=camera)
            if options.traffic:
                files[mask_path(output_dir, picture)] = functools.partial(_View.objects, camera=camera)
        files[os.path.join(raw, "proj_depth", "groundtruth", "image_02", f"{name}.png")] = _View.depth
        files[os.path.join(raw, "velodyne_points", "data", f"{name}.bin")] = _View.lidar
        files[os.path.join(raw, "oxts", "data", f"{name}.txt")] = _View.oxts
    if "odometry" in options.layouts and drive.sequence is not None:
        path = os.path.join(drive.sequence_dir(output_dir), "image_2", f"{frame:06d}.png")
        files[path] = functools.partial(_View.picture, camera="image_02")
    return files


def mask_path(output_dir: str, picture: str) -> str:
    """Where the mask of a picture of KITTI raw is: under its path, beside kitti_raw."""
    return os.path.join(output_dir, "kitti_raw_masks", os.path.relpath(picture, os.path.join(output_dir, "kitti_raw")))


def _raw_cameras(options: SyntheticKitti) -> list[str]:
    return ["image_02", "image_03"] if options.stereo else ["image_02"]


def _write_frame(task: _Task) -> None:
    world = _world(task.drive.scene_seed, task.options.frames_per_scene, task.options.traffic)
    view = _View(world, task.options, task.frame)
    for path, content in _frame_files(*task).items():
        if not os.path.exists(path):
            write_whole(path, content(view))


class _World(NamedTuple):
    scene: Scene
    cars: list[Car]
    world_T_cam: np.ndarray  # [n, 4, 4] of camera 2
    oxts: list[str]


@functools.lru_cache(maxsize=2)
def _world(scene_seed: int, frames: int, traffic: float) -> _World:
    scene = make_scene(scene_seed, frames)
    world_T_cam = trajectory(scene)
    return _World(scene, make_traffic(scene, traffic), world_T_cam, kitti.oxts_texts(world_T_cam))


class _View:
    """One frame of a drive, as recorded by each sensor."""

    def __init__(self, world: _World, options: SyntheticKitti, frame: int):
        self._scene, self._cars = scene_at(world.scene, world.cars, frame)
        self._world_T_cam = world.world_T_cam[frame]
        self._oxts = world.oxts[frame]
        self._size = (options.img_height, options.img_width)
        self._camera = intrinsics(*self._size, options.focal_length)
        self._pictures: dict[str, bytes] = {}

    def picture(self, camera: str) -> bytes:
        if camera not in self._pictures:
            image = render_image(self._scene, self._cam_T_world(camera), self._camera, *self._size)
            self._pictures[camera] = kitti.png_bytes(image)
        return self._pictures[camera]

    def depth(self) -> bytes:
        depth_m = render_depth(self._scene, self._cam_T_world("image_02"), self._camera, *self._size)
        return kitti.depth_png_bytes(depth_m)

    def objects(self, camera: str) -> bytes:
        hits = cast_centres(self._scene, self._cam_T_world(camera), self._camera, *self._size)
        return kitti.png_bytes(np.where(hits.face < 0, 0, self._cars[hits.face]).astype(np.uint8))

    def _cam_T_world(self, camera: str) -> np.ndarray:
        world_T_cam = self._world_T_cam if camera == "image_02" else self._world_T_cam @ kitti.cam2_T_cam3
        return np.linalg.inv(world_T_cam)

    def lidar(self) -> bytes:
        return scan(self._scene, self._world_T_cam @ kitti.cam2_T_velo, _AZIMUTH_RAD, _ELEVATION_RAD).tobytes()

    def oxts(self) -> bytes:
        return self._oxts.encode()


def _test_files_text(options: SyntheticKitti) -> str:
    """The held-out frames that have a frame before and after them, in the format of the Eigen test list."""
    return "".join(
        f"{drive.date}/{drive.name}/image_02/data/{frame:010d}.png\n"
        for drive in drives(options)
        if drive.held_out
        for frame in range(1, options.frames_per_scene - 1)
    )
