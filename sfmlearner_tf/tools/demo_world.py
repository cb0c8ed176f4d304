"""The generated world that the demo and the study of learning train on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from kitti_eval.steps import run_command
from sfmlearner_tf.data.synthetic import KITTI_FOCAL_LENGTH
from sfmlearner_tf.errors import UserError

HEIGHT, WIDTH = 64, 208


def make_world(
    folder: Path,
    train_scenes: int = 24,
    test_scenes: int = 4,
    frames_per_scene: int = 50,
    focal_length: float = KITTI_FOCAL_LENGTH,
    height: int = HEIGHT,
    width: int = WIDTH,
    traffic: float = 0.0,
) -> None:
    """Renders the world to `folder`/world and prepares it for training in `folder`/formatted.

    With traffic, the masks of its vehicles are prepared, too.
    """
    call(
        "sfmlearner_tf.tools.make_synthetic_kitti",
        f"--output_dir={folder / 'world'}",
        f"--num_train_scenes={train_scenes}",
        f"--num_test_scenes={test_scenes}",
        f"--frames_per_scene={frames_per_scene}",
        f"--focal_length={focal_length}",
        f"--traffic={traffic}",
        f"--img_height={height}",
        f"--img_width={width}",
        "--layouts=raw",
        "--stereo=false",
    )
    call(
        "sfmlearner_tf.tools.prepare_train_data",
        f"--dataset_dir={folder / 'world' / 'kitti_raw'}",
        "--dataset_name=kitti_raw_eigen",
        f"--dump_root={folder / 'formatted'}",
        "--seq_length=3",
        f"--img_height={height}",
        f"--img_width={width}",
        # In images this small, at the release's 75, JPEG artefacts outweigh the motion of distant objects.
        "--jpeg_quality=95",
        *([f"--masks_dir={folder / 'world' / 'kitti_raw_masks'}", "--tracked_masks"] if traffic else []),
    )


def call(*arguments: str) -> None:
    """Prints and runs a command of this package, given by its module and flags.

    Raises:
        UserError: it failed; its own output says why.
    """
    print("\n$ python -m " + " ".join(arguments), flush=True)
    status = run_command([sys.executable, "-m", *arguments], {**os.environ, "PYTHONUNBUFFERED": "1"})
    if status == 130:
        raise KeyboardInterrupt
    if status != 0:
        raise UserError(f"{arguments[0]} failed with exit status {status}; the line above says why")


def split_drives(world: Path) -> tuple[list[Path], list[Path]]:
    """The training drives and the held-out ones, which are listed in the world's test_files.txt."""
    lines = (world / "test_files.txt").read_text().split()
    tested = sorted({world / Path(line).parts[0] / Path(line).parts[1] for line in lines})
    return [drive for drive in sorted(world.glob("*/*_sync")) if drive not in tested], tested


def read_intrinsics(world: Path) -> np.ndarray:
    """The camera matrix [3, 3] in pixels, the same in every drive of the world."""
    from sfmlearner_tf.data.calibration import read_kitti_projection

    fx, fy, cx, cy = read_kitti_projection(str(sorted(world.glob("*/calib_cam_to_cam.txt"))[0]), "P_rect_02")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
