"""The KITTI scenes that are held out for testing, and the frames without camera motion.

In the CSV tables beside this file a scene is a drive's name without `_sync`, and "3 7-9" means 3, 7, 8, 9.
"""

from __future__ import annotations

import csv
import re
import reprlib
from collections import defaultdict
from pathlib import Path

from kitti_eval.files import check_inside, read_lines
from sfmlearner_tf.errors import UserError


def held_out_scenes(split: str) -> list[str]:
    """The scenes held out by `split` ("eigen" or "stereo"), e.g. "2011_09_26_drive_0117"."""
    return [scene for name, scene in _rows("test_scenes.csv") if name == split]


def static_frames() -> dict[str, list[int]]:
    """The frames of KITTI raw in which the camera stands still, by drive (e.g. "2011_09_26_drive_0009_sync")."""
    return {f"{scene}_sync": _expand(frames) for scene, frames in _rows("static_frames.csv")}


def read_static_frames(path: str) -> dict[str, list[int]]:
    """Reads a list of static frames in the release's format, `<date> <drive> <frame>` per line; the date is ignored.

    Empty lines are passed over. Raises UserError if the file cannot be read or a line has another format.
    """
    frames = defaultdict(list)
    for number, line in enumerate(read_lines(path, "a list of static frames"), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{path} line {number}"
        if len(words) != 3 or not re.fullmatch(r"\d{1,18}", words[2]):
            raise UserError(f'{where}: expected "<date> <drive> <frame number>", found {reprlib.repr(line)}')
        frames[check_inside(words[1], where)].append(int(words[2]))
    return dict(frames)


def _rows(table: str) -> list[list[str]]:
    with open(Path(__file__).with_name(table), encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def _expand(ranges: str) -> list[int]:
    numbers: list[int] = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
