"""Cityscapes: leftImg8bit_sequence/train/<city>/<city>_<snippet>_<frame>_leftImg8bit.png, camera files by snippet.

As in the 2017 release: the frames of an example are two apart, close to KITTI's frame rate, and every frame is a
target; the bottom quarter, which shows the car's bonnet, is cropped after resizing; each city is one output folder.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict

from sfmlearner_tf.data.sequences import Frame, Intrinsics, Listing, Selection, runs

FRAME_STEP = 2
SNIPPET_LENGTH = 30
KEPT_SHARE = 0.75


def list_cityscapes(dataset_dir: str, selection: Selection) -> Listing:
    """Lists the training cities; missing data becomes a note."""
    listing = Listing()
    images = os.path.join(dataset_dir, "leftImg8bit_sequence", "train")
    for city in sorted(os.listdir(images)) if os.path.isdir(images) else []:
        snippets = _numbered_files(os.path.join(images, city), r"leftImg8bit\.(png|jpg)")
        cameras = _numbered_files(os.path.join(dataset_dir, "camera", "train", city), r"camera\.json")
        for snippet, files in snippets.items():
            _add_snippet(listing, city, snippet, files, cameras.get(snippet, {}), selection)
    return listing


def _numbered_files(folder: str, ending: str) -> dict[str, dict[int, str]]:
    """Paths by snippet ("aachen_000000") and frame number, in order."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        match = re.fullmatch(r"(.+_\d+)_(\d+)_" + ending, name)
        if match:
            found[match[1]][int(match[2])] = os.path.join(folder, name)
    return dict(found)


def _add_snippet(
    listing: Listing, city: str, snippet: str, files: dict[int, str], cameras: dict[int, str], selection: Selection
) -> None:
    stretches = list(runs(sorted(files)))
    for before, after in zip(stretches, stretches[1:]):
        hole = after[0] - before[-1] - 1
        # In some cities all snippets share one number; those are farther apart than this.
        if hole < SNIPPET_LENGTH:
            listing.note("missing frames", f"{snippet} from {before[-1] + 1}", number=hole)
    for numbers in stretches:
        if not cameras:
            listing.note("missing calibration", f"{snippet}_*_camera.json")
            return
        path = _nearest(cameras, numbers[len(numbers) // 2])
        try:
            intrinsics = _read_camera(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            listing.note("damaged calibration", f"{path}: {error!r}", lost=True)
            continue
        frames = {number: Frame(f"{snippet}_{number:06d}", files[number]) for number in numbers}
        listing.add(city, snippet, frames, intrinsics, selection, FRAME_STEP)


def _nearest(files: dict[int, str], number: int) -> str:
    return files[min(files, key=lambda other: abs(other - number))]


def _read_camera(path: str) -> Intrinsics:
    with open(path, encoding="utf-8") as file:
        camera = json.load(file)["intrinsic"]
    return Intrinsics(*(float(camera[name]) for name in ("fx", "fy", "u0", "v0")))
