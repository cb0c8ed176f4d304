"""The truth of benchmarks/real_video.py: real frames, and what is known of their depth and motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kitti_eval.depth_ground_truth import load_ground_truth
from kitti_eval.errors import UserError
from kitti_eval.files import write_aside
from kitti_eval.image_lists import list_eigen_files
from kitti_eval.pose_files import read_kitti

HEIGHT, WIDTH = 128, 416
SEQUENCES = ("01", "06")
SEEN, TESTED, DRIVEN = range(38), range(38, 51), range(40, 51)
BASELINE_M = 0.537
DRIVE = "2011_09_26_drive_0052_sync"


def load_truth(data: Path, path: Path) -> dict[str, np.ndarray]:
    """The images, depths (0: unknown) and poses that are tested on, and the mean depth of the frames seen."""
    if not path.exists():
        truth = make_truth(data)
        with write_aside(path) as file:
            np.savez_compressed(file, **truth)  # type: ignore[arg-type]
    return dict(np.load(path))


def check_data(data: Path) -> None:
    """Raises UserError where the folder is not that of the recordings."""
    for name in ("real_video/stereo_pairs", "kitti_odometry/poses", f"kitti_raw/2011_09_26/{DRIVE}"):
        if not (data / name).is_dir():
            raise UserError(f"--data_dir={data}: expected the recordings, found no {name} there")


def make_truth(data: Path) -> dict[str, np.ndarray]:
    check_data(data)
    truth: dict[str, np.ndarray] = {}
    seen = []
    for sequence in SEQUENCES:
        pairs = data / "real_video" / "stereo_pairs" / sequence
        calibration = np.loadtxt(pairs / "calib.txt").reshape(-1, 3, 4)[0]
        images = [[_read(pairs / f"image_{side}" / f"{i:06d}.png") for side in (0, 1)] for i in TESTED]
        height, width = images[0][0].shape[:2]
        truth[f"depths_{sequence}"] = np.stack(
            [depth_from_stereo(left, right, calibration[0, 0]).astype(np.float16) for left, right in images]
        )
        truth[f"images_{sequence}"] = np.stack([shrink(left) for left, _ in images])
        scale = np.array([WIDTH / width, HEIGHT / height])
        truth[f"focal_{sequence}"] = calibration[[0, 1], [0, 1]] * scale
        truth[f"centre_{sequence}"] = calibration[:2, 2] * scale
        folders = [data / "real_video" / f"kitti_odometry_{sequence}_{side}" for side in (0, 1)]
        for i in SEEN:
            left, right = (_read(folder / f"{i:06d}.jpg") for folder in folders)
            seen.append(depth_from_stereo(left, right, truth[f"focal_{sequence}"][0]))
        truth[f"frames_{sequence}"] = np.stack([_read(folders[0] / f"{i:06d}.jpg") for i in DRIVEN])
        poses = read_kitti(data / "kitti_odometry" / "poses" / f"{sequence}.txt")
        truth[f"poses_{sequence}"] = poses[list(DRIVEN)]
    truth["mean_depth"] = mean_over_seen(np.stack(seen))
    listed = [name for name in list_eigen_files() if DRIVE in name]
    found = [(name, load_ground_truth(data / "kitti_raw", name, "eigen")) for name in listed]
    scanned = [(name, each) for name, each in found if each is not None]
    truth["images_0052"] = np.stack([shrink(_read(data / "kitti_raw" / name)) for name, _ in scanned])
    truth["depths_0052"] = np.stack([each.depth_m for _, each in scanned]).astype(np.float16)
    return truth


def depth_from_stereo(left: np.ndarray, right: np.ndarray, focal_px: float) -> np.ndarray:
    """Depth [H, W], metres, of the left image of a rectified pair; 0 where the two ways of matching do not agree."""
    import cv2

    channels, block = 1, 5
    count = 16 * int(np.ceil(left.shape[1] / 10 / 16))
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=8 * channels * block**2,
        P2=32 * channels * block**2,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
    )
    left, right = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    found = matcher.compute(left, right).astype(np.float32) / 16
    back = matcher.compute(right[:, ::-1].copy(), left[:, ::-1].copy())[:, ::-1].astype(np.float32) / 16
    rows, columns = np.indices(found.shape)
    there = np.clip(np.rint(columns - found).astype(int), 0, found.shape[1] - 1)
    agree = (found > 0.5) & (np.abs(back[rows, there] - found) <= 1)
    return np.where(agree, focal_px * BASELINE_M / np.maximum(found, 0.5), 0).astype(np.float32)


def mean_over_seen(depths_m: np.ndarray) -> np.ndarray:
    """The mean [H, W] of depths [N, H, W] where they are known; elsewhere that of the row, or of the nearest row."""
    known = depths_m > 0
    with np.errstate(invalid="ignore"):
        mean = depths_m.sum(0) / known.sum(0)
        rows = depths_m.sum((0, 2)) / known.sum((0, 2))
    measured = np.flatnonzero(np.isfinite(rows))
    rows = np.interp(np.arange(len(rows)), measured, rows[measured])
    return np.where(np.isfinite(mean), mean, rows[:, None])


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def shrink(image: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """As the release resizes the images of its depth test."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def shrink_depth(depth_m: np.ndarray) -> np.ndarray:
    """The nearest depth of each pixel at 128x416, 0 where none is known."""
    rows, columns = np.nonzero(depth_m)
    small = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    cells = rows * HEIGHT // depth_m.shape[0], columns * WIDTH // depth_m.shape[1]
    np.minimum.at(small, cells, depth_m[rows, columns])
    return np.where(np.isfinite(small), small, 0)
