"""A tiny dataset in KITTI raw's layout, made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

P_RECT = "7.2e+01 0 6.0e+01 4.5 0 7.1e+01 1.7e+01 0.2 0 0 1 0.003"


def write_calibration(date_dir: Path, cameras: Iterable[str] = ("02", "03")) -> None:
    date_dir.mkdir(parents=True, exist_ok=True)
    lines = ["calib_time: 09-Jan-2012 13:57:47", *(f"P_rect_{camera}: {P_RECT}" for camera in cameras)]
    (date_dir / "calib_cam_to_cam.txt").write_text("\n".join(lines) + "\n")


def write_images(folder: Path, numbers: Iterable[int], digits: int = 10, size: tuple[int, int] = (124, 38)) -> None:
    """PNG images of `size` (width, height), each of noise and of one mean colour of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        noise = np.random.RandomState(number).randint(0, 60, (size[1], size[0], 3)) + 3 * (number % 60)
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number:0{digits}d}.png", compress_level=1)


def write_drive(dataset_dir: Path, drive: str, numbers: Iterable[int], cameras: Iterable[str] = ("02", "03")) -> None:
    """One drive, e.g. "2011_09_26_drive_0001_sync", with its date's calibration."""
    date_dir = dataset_dir / drive[:10]
    write_calibration(date_dir)
    numbers = list(numbers)
    for camera in cameras:
        write_images(date_dir / drive / f"image_{camera}" / "data", numbers)
