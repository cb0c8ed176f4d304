"""Masks of objects: which object each pixel of a frame is of, by any detector, such as Mask R-CNN (as in Casser et al.,
AAAI 2019, "Depth Prediction Without the Sensors")."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from kitti_eval import images
from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.errors import UserError

if TYPE_CHECKING:
    from sfmlearner_tf.data.frames import Geometry

# Of one frame and the next, intersection over union above which two masks are of one object.
_LEAST_OVERLAP = 0.3
_LARGEST_NUMBER = 255
# One channel of integers; of palettes the index counts.
_MODES = ("1", "L", "P", "I", "I;16", "I;16B")


class MaskFolder(NamedTuple):
    """Where the masks of a dataset's frames are.

    masks_dir: a mask has the path in it that its frame has in `dataset_dir`, and ends in .png. Those of a video are in
        a folder of its name, by the number of the frame: <video>/0000000000.png.
    tracked: whether an object already has one number through all frames; else overlap tells.
    """

    masks_dir: str
    dataset_dir: str
    tracked: bool = False

    def path(self, frame: Frame) -> str:
        """Where the mask of a frame is expected."""
        root = self.dataset_dir if os.path.isdir(self.dataset_dir) else os.path.dirname(self.dataset_dir)
        stem = os.path.splitext(os.path.join(self.masks_dir, os.path.relpath(frame.path, root)))[0]
        return f"{stem}.png" if frame.video_index is None else os.path.join(stem, f"{frame.name}.png")

    def read(self, frame: Frame, full_size: tuple[int, int], geometry: Geometry) -> np.ndarray:
        """The mask [H, W] of a frame at its training size: numbers of objects, 0 where there is none.

        Args:
            full_size: (width, height) of the frame.

        Raises:
            UserError: it is missing, damaged, of another size or of more than one channel.
        """
        path = self.path(frame)
        with images.open_image(path, "the mask of a frame") as image:
            if image.mode not in _MODES:
                raise UserError(f"{path}: expected one channel with the number of an object, found {image.mode}")
            if image.size != full_size:
                expected, found = (f"{width}x{height}" for width, height in (full_size, image.size))
                raise UserError(f"{path}: expected the {expected} pixels of its frame, found {found}")
            whole = Image.fromarray(np.asarray(image).astype(np.int32))
        return np.asarray(geometry.apply(whole, Image.Resampling.NEAREST))


def number_objects(masks: Sequence[np.ndarray], tracked: bool = False) -> list[np.ndarray]:
    """Gives each object one number through all frames, the largest 1; uint8, 0 where there is none.

    Only the 255 largest are kept.

    Args:
        masks: [H, W] of the frames in order, 0 where there is no object.
        tracked: whether equal numbers are one object already. If not, a mask and one of the frame before it that
            overlap are; all pairs are chosen together, for the largest sum of overlaps.
    """
    if tracked:
        _, numbers = np.unique([np.zeros_like(masks[0]), *masks], return_inverse=True)
        return _largest_first(numbers.reshape(-1, *masks[0].shape)[1:])
    found: list[np.ndarray] = []
    count = 0
    for mask in masks:
        ids, index = np.unique([np.zeros_like(mask), mask], return_inverse=True)
        index = index.reshape(2, *mask.shape)[1]
        numbers = _match(found[-1], index, len(ids)) if found else np.zeros(len(ids), int)
        fresh = np.flatnonzero((numbers == 0) & (ids > 0))
        numbers[fresh] = count + 1 + np.arange(len(fresh))
        count += len(fresh)
        found.append(numbers[index])
    return _largest_first(np.stack(found))


def _match(before: np.ndarray, now: np.ndarray, count: int) -> np.ndarray:
    """For each of the `count` values of `now` the number of the object in `before` that it goes on with, or 0."""
    joint = np.bincount((before * count + now).ravel(), minlength=(before.max() + 1) * count).reshape(-1, count)
    union = joint.sum(axis=0) + joint.sum(axis=1, keepdims=True) - joint
    overlap = joint[1:, 1:] / union[1:, 1:]
    numbers = np.zeros(count, int)
    for row, column in zip(*linear_sum_assignment(overlap, maximize=True)):
        if overlap[row, column] > _LEAST_OVERLAP:
            numbers[column + 1] = row + 1
    return numbers


def _largest_first(numbers: np.ndarray) -> list[np.ndarray]:
    """Objects numbered anew by their pixels in all frames [N, H, W] together, the largest 1; those beyond 255 are 0."""
    areas = np.bincount(numbers.ravel())[1:]
    ranks = np.zeros(len(areas) + 1, int)
    ranks[1 + np.argsort(-areas, kind="stable")] = 1 + np.arange(len(areas))
    ranks[ranks > _LARGEST_NUMBER] = 0
    return list(ranks[numbers].astype(np.uint8))
