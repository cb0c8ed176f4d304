"""Opens images, decodes frames and resizes them to the training size."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from kitti_eval import images
from sfmlearner_tf.data.masks import MaskFolder
from sfmlearner_tf.data.sequences import Frame, Intrinsics, Note
from sfmlearner_tf.data.video import read_video
from sfmlearner_tf.errors import UserError

# Pillow's own limit, above which a file is taken for a decompression bomb.
MAX_PIXELS = 89_478_485


def open_image(path: str | os.PathLike[str], upright: bool = False) -> Image.Image:
    """Decodes the image in a file, of any mode, to 8-bit RGB; transparency is dropped.

    upright: rotate it as its EXIF orientation says.

    Raises UserError if the file is missing, damaged, not an image or of more than MAX_PIXELS.
    """
    with images.open_image(path, max_pixels=MAX_PIXELS) as image:
        return to_rgb(ImageOps.exif_transpose(image) if upright else image)


def read_upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of `open_image(path, upright=True)`, from the header alone.

    Raises UserError as `open_image` does, but damage after the header goes unnoticed.
    """
    with images.open_image(path, max_pixels=MAX_PIXELS) as image:
        swapped = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (image.height, image.width) if swapped else image.size


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to 8-bit RGB; transparency is dropped.

    Raises ValueError for floating-point pixels, whose white level is unknown.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels, expected 8 or 16 bits")
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values at 255, which makes almost every pixel white.
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    return image.convert("RGB")


Crop = tuple[int, int, int, int]
"""What is cut out of an image: left, top, width, height, pixels."""


def parse_crop(text: str | None) -> Crop | None:
    """The crop "left,top,width,height" of --crop; None where nothing is given. Raises UserError if it is malformed."""
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,9}),(\d{1,9}),([1-9]\d{,8}),([1-9]\d{,8})", text)
    if not match:
        raise UserError(f"--crop: expected left,top,width,height in pixels, found {text!r}")
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def crop_image(image: Image.Image, crop: Crop) -> Image.Image:
    """The part of an image that is inside the crop. Raises ValueError if the image is smaller."""
    left, top, width, height = crop
    if left + width > image.width or top + height > image.height:
        raise ValueError(f"{image.width}x{image.height} pixels are too few for the crop {crop}")
    return image.crop((left, top, left + width, top + height))


class Geometry(NamedTuple):
    """How frames get their training size: crop, resize, keep the top rows."""

    width: int
    height: int
    kept_height: int
    crop: Crop | None = None

    def apply(self, image: Image.Image, method: Image.Resampling = Image.Resampling.BILINEAR) -> Image.Image:
        """Turns an image into one [kept_height, width]; bilinear with antialiasing, as in the release.

        Raises ValueError if the image is smaller than the crop.
        """
        if self.crop:
            image = crop_image(image, self.crop)
        resized = image.resize((self.width, self.height), method)
        return resized.crop((0, 0, self.width, self.kept_height)) if self.kept_height < self.height else resized

    def scale(self, intrinsics: Intrinsics, full_size: tuple[int, int]) -> Intrinsics:
        """The intrinsics after `apply`, given those of a frame of `full_size` (width, height)."""
        left, top, width, height = self.crop or (0, 0, *full_size)
        zoom_x, zoom_y = self.width / width, self.height / height
        fx, fy, cx, cy = intrinsics
        return Intrinsics(fx * zoom_x, fy * zoom_y, (cx - left) * zoom_x, (cy - top) * zoom_y)


class LoadedFrame(NamedTuple):
    """A frame at training size, with its original (width, height); with its mask [H, W] of objects if that was asked
    for, and its position as far as it is known."""

    name: str
    image: Image.Image
    full_size: tuple[int, int]
    objects: np.ndarray | None = None
    position_m: tuple[float, ...] = ()


def load_frames(
    frames: tuple[Frame, ...], geometry: Geometry, notes: list[Note], masks: MaskFolder | None = None
) -> Iterator[LoadedFrame | None]:
    """Decodes and resizes the frames of one sequence in order; yields None and adds a note for a damaged frame.

    masks: where their masks of objects are, None to read none.
    """
    read = _read_images if frames[0].video_index is None else read_video
    with contextlib.closing(read(frames, notes)) as pictures:
        for frame, picture in zip(frames, pictures):
            loaded = None
            if picture:
                try:
                    loaded = LoadedFrame(frame.name, geometry.apply(picture), picture.size, None, frame.position_m)
                    if masks:
                        loaded = loaded._replace(objects=masks.read(frame, picture.size, geometry))
                except UserError as error:
                    loaded = None
                    notes.append(Note("mask missing or damaged", str(error), lost=True))
                except ValueError as error:
                    notes.append(_damaged(f"{frame.path}: {error}"))
            yield loaded


def _read_images(frames: tuple[Frame, ...], notes: list[Note]) -> Generator[Image.Image | None, None, None]:
    for frame in frames:
        try:
            image = open_image(frame.path, upright=True)
        except UserError as error:
            notes.append(_damaged(str(error)))
            yield None
        else:
            yield image


def _damaged(what: str) -> Note:
    return Note("damaged frame", what, lost=True)
