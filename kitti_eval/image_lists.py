"""Lists of test images, in the order of the predictions: Eigen, stereo, or from a file."""

from __future__ import annotations

import csv
from pathlib import Path

from kitti_eval.errors import UserError
from kitti_eval.files import check_inside, read_lines

SPLITS = ("eigen", "stereo")
# One row per drive: the 697 test frames of Eigen et al. in their published order, and those without annotated depth:
# it accumulates eleven scans, so the first and last five frames of every drive have none.
_EIGEN_TABLE = Path(__file__).with_name("eigen_test_frames.csv")


def list_eigen_files(annotated_only: bool = False) -> list[str]:
    """The 697 images of the Eigen test split, or the 652 of them that have annotated depth, relative to KITTI raw."""
    image_files = []
    with _EIGEN_TABLE.open(newline="") as table:
        for row in csv.DictReader(table):
            left_out = set(row["frames_without_annotated_depth"].split()) if annotated_only else set()
            folder = f"{row['drive'][:10]}/{row['drive']}/image_02/data"
            image_files += [
                f"{folder}/{int(frame):010d}.png" for frame in row["frames"].split() if frame not in left_out
            ]
    return image_files


def list_stereo_files() -> list[str]:
    """The 200 left training images of KITTI 2015, relative to its folder."""
    return [f"training/image_2/{index:06d}_10.png" for index in range(200)]


def list_test_files(split: str, list_file: str = "", annotated_only: bool = False) -> list[str]:
    """The test images that two flags name: those of a list file, else of the split, "eigen" or "stereo".

    A split may be a list file, too. Raises UserError as `read_image_list`, and if both are list files.
    """
    if list_file and split not in SPLITS:
        raise UserError(f"expected at most one list of test images, found --split={split} and --test_file_list")
    if list_file or split not in SPLITS:
        return read_image_list(list_file or split)
    return list_stereo_files() if split == "stereo" else list_eigen_files(annotated_only)


def read_image_list(path: str | Path) -> list[str]:
    """The paths in a list file: the first word of each line; blank lines are skipped.

    Raises UserError if the file is missing or empty, or a path leads out of the dataset.
    """
    lines = enumerate(read_lines(path, "a list of test images, one per line"), start=1)
    image_files = [check_inside(line.split()[0], f"{path} line {number}") for number, line in lines if line.strip()]
    if not image_files:
        raise UserError(f"{path}: expected a list of test images, one per line, found an empty file")
    return image_files
