"""Decodes frames and brings them to the training size, each one once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Union

from PIL import Image

from sfmlearner_tf.data.sequences import Frame, Intrinsics

DECODE_ERRORS = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for a file that is missing, cut short or not an image."""


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
        resized = image.convert("RGB").resize((self.width, self.height), Image.Resampling.BILINEAR)
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


class DamagedFrame(NamedTuple):
    """A frame that could not be decoded."""

    name: str
    path: str
    reason: str


AnyFrame = Union[LoadedFrame, DamagedFrame]


def load_frames(frames: Iterable[Frame], geometry: Geometry) -> Iterator[AnyFrame]:
    """Loads image files one after the other; a damaged one ends nothing."""
    for frame in frames:
        try:
            with Image.open(frame.path) as image:
                yield LoadedFrame(frame.name, geometry.apply(image), image.size)
        except DECODE_ERRORS as error:
            yield DamagedFrame(frame.name, frame.path, " ".join(str(error).split()))
