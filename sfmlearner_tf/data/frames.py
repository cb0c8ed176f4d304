"""Decodes frames and brings them to the training size, each one once."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from sfmlearner_tf.data.sequences import Frame, Intrinsics, Note
from sfmlearner_tf.data.video import read_video

DECODE_ERRORS = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for a file that is missing, cut short or not an image."""


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB image, 8 bits, of an image of any mode; without its transparency.

    Raises ValueError for floating-point pixels, which say nothing about what is white.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels, expected 8 or 16 bits")
    if image.mode.startswith("I"):
        # Pillow itself would clip 16 bits, so that nearly all is white.
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    return image.convert("RGB")


class Geometry(NamedTuple):
    """How a frame gets its training size: cut out `crop` (left, top, width, height), resize, keep the upper rows."""

    width: int
    height: int
    kept_height: int
    crop: tuple[int, int, int, int] | None = None

    def apply(self, image: Image.Image) -> Image.Image:
        """RGB image [kept_height, width]; resized bilinearly with antialiasing, as the release does."""
        if self.crop:
            left, top, width, height = self.crop
            if left + width > image.width or top + height > image.height:
                raise ValueError(f"{image.width}x{image.height} pixels do not hold the crop {self.crop}")
            image = image.crop((left, top, left + width, top + height))
        resized = to_rgb(image).resize((self.width, self.height), Image.Resampling.BILINEAR)
        return resized.crop((0, 0, self.width, self.kept_height)) if self.kept_height < self.height else resized

    def scale(self, intrinsics: Intrinsics, full_size: tuple[int, int]) -> Intrinsics:
        """The intrinsics of the result, given those of a frame of `full_size` (width, height)."""
        left, top, width, height = self.crop or (0, 0, *full_size)
        zoom_x, zoom_y = self.width / width, self.height / height
        fx, fy, cx, cy = intrinsics
        return Intrinsics(fx * zoom_x, fy * zoom_y, (cx - left) * zoom_x, (cy - top) * zoom_y)


class LoadedFrame(NamedTuple):
    """A frame at training size, with the (width, height) that it had."""

    name: str
    image: Image.Image
    full_size: tuple[int, int]


def load_frames(frames: tuple[Frame, ...], geometry: Geometry, notes: list[Note]) -> Iterator[LoadedFrame | None]:
    """Decodes the frames of one sequence in order and resizes them; None for a damaged one, which goes to `notes`."""
    read = _read_images if frames[0].video_index is None else read_video
    with contextlib.closing(read(frames, notes)) as pictures:
        for frame, picture in zip(frames, pictures):
            loaded = None
            if picture:
                try:
                    loaded = LoadedFrame(frame.name, geometry.apply(picture), picture.size)
                except DECODE_ERRORS as error:
                    notes.append(_damaged(frame, error))
            yield loaded


def _read_images(frames: tuple[Frame, ...], notes: list[Note]) -> Generator[Image.Image | None, None, None]:
    for frame in frames:
        try:
            with Image.open(frame.path) as image:
                image.load()
        except DECODE_ERRORS as error:
            notes.append(_damaged(frame, error))
            yield None
        else:
            yield image


def _damaged(frame: Frame, error: Exception) -> Note:
    reason = " ".join(str(error).replace(repr(frame.path), "").split())
    return Note("damaged frame", f"{frame.path}: {reason}", lost=True)
