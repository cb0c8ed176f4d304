"""What `predict` reads: an image, a folder or a pattern of images, or a video."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image, ImageOps

from sfmlearner_tf.data.frames import DECODE_ERRORS, to_rgb
from sfmlearner_tf.data.sequences import Frame, Note
from sfmlearner_tf.data.video import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    find_images,
    natural_order,
    read_video,
    read_video_times,
)
from sfmlearner_tf.data.workers import map_ahead
from sfmlearner_tf.errors import UserError

# Full-size images decoded ahead of the network.
_AHEAD = 4


class Recording(NamedTuple):
    """Frames in order, not yet decoded.

    name: what files for all of them are called after. frames: each with a name of its own, which its files get.
    times_s: [N], of a video in seconds from its first frame, of images their numbers from 0.
    """

    name: str
    frames: tuple[Frame, ...]
    times_s: list[float]

    @property
    def is_video(self) -> bool:
        return self.frames[0].video_index is not None

    @property
    def frames_per_second(self) -> float | None:
        """The mean rate of a video of several frames."""
        return (len(self.frames) - 1) / self.times_s[-1] if self.is_video and len(self.frames) > 1 else None


class Picture(NamedTuple):
    """A decoded frame: its number in the recording, and the image, RGB and upright."""

    number: int
    frame: Frame
    image: Image.Image


def list_recording(path: str) -> Recording:
    """What `--input` names.

    Raises:
        UserError: there is nothing, no image in the folder, or a file that is neither an image nor a video.
    """
    if os.path.isdir(path):
        paths, name = find_images(path), Path(path).resolve().name
        if not paths:
            videos = sorted(entry for entry in os.listdir(path) if entry.lower().endswith(VIDEO_ENDINGS))
            hint = f"; for a video, name the file, such as {os.path.join(path, videos[0])}" if videos else ""
            raise UserError(f"--input={path}: expected images in this folder, found none{hint}")
        return _list_images(paths, name or "images")
    if os.path.isfile(path):
        stem = Path(path).stem
        return _list_images([path], stem) if path.lower().endswith(IMAGE_ENDINGS) else _list_video(path, stem)
    paths = [found for found in glob.glob(path, recursive=True) if found.lower().endswith(IMAGE_ENDINGS)]
    if not paths:
        found = "no image that this pattern fits" if glob.has_magic(path) else "nothing of this name"
        raise UserError(f"--input={path}: expected images, a folder or a video, found {found}")
    return _list_images(sorted(paths, key=natural_order), "images")


def read_pictures(recording: Recording, numbers: list[int], notes: list[Note]) -> Generator[Picture, None, None]:
    """Decodes the chosen frames, given in order, one after the other; damaged ones are left out and noted."""
    frames = tuple(recording.frames[number] for number in numbers)
    images = read_video(frames, notes) if recording.is_video else _read_images(frames, notes)
    with contextlib.closing(images):
        for number, frame, image in zip(numbers, frames, images):
            if image is not None:
                yield Picture(number, frame, image)


def check_images(recording: Recording, one_size: bool) -> None:
    """Raises UserError, naming it, for an image that cannot be opened; with `one_size` for one of another size, too."""
    first_size = None
    for frame in [] if recording.is_video else recording.frames:
        try:
            with Image.open(frame.path) as image:
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
                size = image.size[::-1] if turned else image.size
        except DECODE_ERRORS as error:
            raise UserError(f"{_damaged(frame, error).what}; a video and a trajectory need every image") from error
        first_size = first_size or size
        if one_size and size != first_size:
            raise UserError(
                f"{frame.path}: expected {first_size[0]}x{first_size[1]} pixels as the images before, found"
                f" {size[0]}x{size[1]}; images of several sizes make no mp4 (--output=png)"
            )


def _list_images(paths: list[str], name: str) -> Recording:
    """Images are called after their files; by all that tells them apart where two share that."""
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
        names = ["_".join(Path(os.path.relpath(path, folder)).parts) for path in paths]
    frames = tuple(Frame(own, path) for own, path in zip(names, paths))
    return Recording(name, frames, [float(index) for index in range(len(frames))])


def _list_video(path: str, stem: str) -> Recording:
    if not path.lower().endswith(VIDEO_ENDINGS):
        endings = " ".join((*IMAGE_ENDINGS, *VIDEO_ENDINGS))
        raise UserError(f"--input={path}: expected an image or a video, a file that ends in one of {endings}")
    times_s, complaint = read_video_times(path)
    if not times_s:
        raise UserError(f"--input={path}: expected a video, found no frame in it; {complaint or 'nothing to decode'}")
    frames = tuple(Frame(f"{stem}_{index:06d}", path, index) for index in range(len(times_s)))
    return Recording(stem, frames, times_s)


def _read_images(frames: tuple[Frame, ...], notes: list[Note]) -> Generator[Image.Image | None, None, None]:
    for result in map_ahead(_open, frames, _AHEAD):
        if isinstance(result, Note):
            notes.append(result)
            yield None
        else:
            yield result


def _open(frame: Frame) -> Image.Image | Note:
    try:
        with Image.open(frame.path) as image:
            return to_rgb(ImageOps.exif_transpose(image))
    except DECODE_ERRORS as error:
        return _damaged(frame, error)


def _damaged(frame: Frame, error: Exception) -> Note:
    reason = getattr(error, "strerror", None) or " ".join(str(error).replace(repr(frame.path), "").split())
    return Note("damaged image", f"{frame.path}: expected an image; {reason}", lost=True)
