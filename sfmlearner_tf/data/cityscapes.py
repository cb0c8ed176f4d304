"""Cityscapes: leftImg8bit_sequence/train/<city>/<city>_<snippet>_<frame>_leftImg8bit.png, camera files by snippet.

As in the 2017 release: the frames of an example are two apart, close to KITTI's frame rate, and every frame is a
target, whether or not those between them are there; the bottom quarter, which shows the car's bonnet, is cropped after
resizing; each city is one output folder.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator

from kitti_eval.files import read_json
from sfmlearner_tf.data.calibration import check_camera
from sfmlearner_tf.data.sequences import Frame, Intrinsics, Listing, Selection
from sfmlearner_tf.errors import UserError

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
    found = sorted(files)
    for before, after in zip(found, found[1:]):
        # In some cities all snippets share one number; those are farther apart than this.
        if 1 < after - before <= SNIPPET_LENGTH:
            listing.note("missing frames", f"{snippet} from {before + 1}", number=after - before - 1)
    if not cameras:
        listing.note("missing calibration", f"{snippet}_*_camera.json", lost=True)
        return
    for numbers in _stretches(found, 1 if selection.split_at_gaps else FRAME_STEP):
        path = _nearest(cameras, numbers[len(numbers) // 2])
        try:
            intrinsics = _read_camera(path)
        except UserError as error:
            listing.note("damaged calibration", str(error), lost=True)
            continue
        frames = {number: Frame(f"{snippet}_{number:06d}", files[number]) for number in numbers}
        listing.add(city, snippet, frames, intrinsics, selection, FRAME_STEP)


def _stretches(numbers: list[int], reach: int) -> Iterator[list[int]]:
    """Cuts ascending numbers where two are farther apart than `reach`."""
    cuts = [i for i in range(1, len(numbers)) if numbers[i] - numbers[i - 1] > reach]
    for first, stop in zip([0, *cuts], [*cuts, len(numbers)]):
        yield numbers[first:stop]


def _nearest(files: dict[int, str], number: int) -> str:
    return files[min(files, key=lambda other: abs(other - number))]


def _read_camera(path: str) -> Intrinsics:
    content = read_json(path, "a camera of Cityscapes")
    try:
        intrinsics = Intrinsics(*(float(content["intrinsic"][name]) for name in ("fx", "fy", "u0", "v0")))
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected a camera of Cityscapes, found {error!r}") from error
    return check_camera(intrinsics, path)
