"""The input of `predict`: an image, a folder or glob pattern of images, or a video."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Generator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Callable, NamedTuple

import numpy as np
from PIL import Image

from kitti_eval.workers import map_ahead
from sfmlearner_tf.data.frames import Crop, crop_image, open_image, read_upright_size
from sfmlearner_tf.data.sequences import Frame, Note
from sfmlearner_tf.data.video import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    find_images,
    natural_order,
    read_video,
    read_video_times,
)
from sfmlearner_tf.errors import UserError

# Full-size images decoded ahead of the network.
_AHEAD = 4

# By name, what makes of an image the pixels [height, width, 3] uint8 that a network gets.
Resizers = Mapping[str, Callable[[Image.Image], np.ndarray]]


class Recording(NamedTuple):
    """Frames in order, not yet decoded.

    name: prefix of the files for the whole recording. frames: their names are unique and prefix the files of a frame.
    times_s: [N], seconds from the first frame for a video, 0, 1, 2, ... for images. crop: what is cut out of each frame
    before all else; None for all of it.
    """

    name: str
    frames: tuple[Frame, ...]
    times_s: list[float]
    crop: Crop | None = None

    @property
    def is_video(self) -> bool:
        """Whether the frames are those of a film, not files of their own."""
        return self.frames[0].video_index is not None

    @property
    def frames_per_second(self) -> float | None:
        """The mean frame rate of a video; None for images or a single frame."""
        return (len(self.frames) - 1) / self.times_s[-1] if self.is_video and len(self.frames) > 1 else None


class Picture(NamedTuple):
    """A decoded frame: its number in the recording, its upright RGB image after the recording's crop, and that resized,
    by the resizers' names."""

    number: int
    frame: Frame
    image: Image.Image
    resized: Mapping[str, np.ndarray] = MappingProxyType({})


def list_recording(path: str, output_dir: str | None = None, flag: str = "input") -> Recording:
    """Lists the frames of a folder, a pattern, an image or a video.

    Args:
        output_dir: a pattern also matches the pictures that an earlier run wrote there; they are left out.
        flag: that `path` was given by, for messages.

    Raises:
        UserError: nothing matches, the folder has no image, or the file is neither an image nor a video.
    """
    if os.path.isdir(path):
        paths, name = find_images(path), Path(path).resolve().name
        if not paths:
            videos = sorted(entry for entry in os.listdir(path) if entry.lower().endswith(VIDEO_ENDINGS))
            hint = f"; for a video, name the file, such as {os.path.join(path, videos[0])}" if videos else ""
            raise UserError(f"--{flag}={path}: expected images in this folder, found none{hint}")
        return _list_images(paths, name or "images", flag)
    if os.path.isfile(path):
        stem = Path(path).stem
        is_image = path.lower().endswith(IMAGE_ENDINGS)
        return _list_images([path], stem, flag) if is_image else _list_video(path, stem, flag)
    # Two "**" find a file twice.
    paths = sorted({found for found in glob.glob(path, recursive=True) if found.lower().endswith(IMAGE_ENDINGS)})
    if not paths:
        found = "no image that matches this pattern" if glob.has_magic(path) else "nothing of this name"
        raise UserError(f"--{flag}={path}: expected images, a folder or a video, found {found}")
    others = [found for found in paths if output_dir is None or not _lies_in(found, output_dir)]
    return _list_images(sorted(others or paths, key=natural_order), "images", flag)


def read_pictures(
    recording: Recording, numbers: list[int], notes: list[Note], resizers: Resizers = MappingProxyType({})
) -> Generator[Picture, None, None]:
    """Decodes the frames with these ascending numbers in order; skips damaged ones and adds notes about them.

    Threads decode and resize ahead of what is asked for.

    Raises:
        UserError: a frame is smaller than the recording's crop.
    """

    def load(source: Frame | Image.Image | None) -> tuple[Image.Image, Mapping[str, np.ndarray]] | Note | None:
        image = _open(source) if isinstance(source, Frame) else source
        if not isinstance(image, Image.Image):
            return image
        if recording.crop:
            try:
                image = crop_image(image, recording.crop)
            except ValueError as error:
                path = source.path if isinstance(source, Frame) else recording.frames[0].path
                raise UserError(f"--crop: expected a part of {path}; {error}") from None
        return image, {name: resize(image) for name, resize in resizers.items()}

    frames = tuple(recording.frames[number] for number in numbers)
    video = contextlib.closing(read_video(frames, notes)) if recording.is_video else None
    with video or contextlib.nullcontext(frames) as sources:
        # Nothing behind the last frame is decoded.
        results = map_ahead(load, islice(sources, len(frames)), _AHEAD)
        for number, frame, result in zip(numbers, frames, results):
            if isinstance(result, Note):
                notes.append(result)
            elif result:
                yield Picture(number, frame, *result)


def spread(count: int, most: int) -> list[int]:
    """The numbers of up to `most` of `count` things, evenly spread, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, most)).astype(int).tolist()


def read_all(
    recording: Recording, needs_all: bool, notes: list[Note], resizers: Resizers
) -> Generator[Picture, None, None]:
    """Yields the frames that can be read. With `needs_all`, raises UserError if one is missing before another."""
    numbers = list(range(len(recording.frames)))
    with contextlib.closing(read_pictures(recording, numbers, notes, resizers)) as pictures:
        for number, picture in enumerate(pictures):
            if needs_all and picture.number != number:
                raise UserError(f"{notes[-1].what}; a video and a trajectory need every frame")
            yield picture


def check_images(recording: Recording, one_size: bool) -> None:
    """Raises UserError for the first image that cannot be opened or, with `one_size`, has another size."""
    first_size = None
    for frame in [] if recording.is_video else recording.frames:
        try:
            size = read_upright_size(frame.path)
        except UserError as error:
            raise UserError(f"{error}; a video and a trajectory need every image") from error
        first_size = first_size or size
        if one_size and size != first_size:
            raise UserError(
                f"{frame.path}: expected {first_size[0]}x{first_size[1]} pixels like the images before, found"
                f" {size[0]}x{size[1]}; an mp4 needs images of one size (or use --output=png)"
            )


def _list_images(paths: list[str], name: str, flag: str) -> Recording:
    """Frames are named after their files; where two files have the same name, with the folders, joined if possible."""
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    relative = [os.path.relpath(path, folder) for path in paths]
    for names in ([Path(path).stem for path in paths], [path.replace(os.sep, "_") for path in relative], relative):
        if len(set(names)) == len(names):
            break
    else:
        raise UserError(f"--{flag}: expected every image once, found some by several paths in {folder or '.'}")
    frames = tuple(Frame(own, path) for own, path in zip(names, paths))
    return Recording(name, frames, [float(index) for index in range(len(frames))])


def _lies_in(path: str, folder: str) -> bool:
    folder = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(os.path.dirname(path)), folder]) == folder


def _list_video(path: str, stem: str, flag: str) -> Recording:
    if not path.lower().endswith(VIDEO_ENDINGS):
        endings = " ".join((*IMAGE_ENDINGS, *VIDEO_ENDINGS))
        raise UserError(f"--{flag}={path}: expected an image or a video, a file that ends in one of {endings}")
    times_s, complaint = read_video_times(path)
    if not times_s:
        raise UserError(f"--{flag}={path}: expected a video, found no frame in it; {complaint or 'nothing to decode'}")
    frames = tuple(Frame(f"{stem}_{index:06d}", path, index) for index in range(len(times_s)))
    return Recording(stem, frames, times_s)


def _open(frame: Frame) -> Image.Image | Note:
    try:
        return open_image(frame.path, upright=True)
    except UserError as error:
        return Note("damaged image", str(error), lost=True)
