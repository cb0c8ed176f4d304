"""The user's own recordings: a video, a folder of videos, or a folder of images in natural order (2.png before 10.png).

Frames are named by their number, counted from 0 before every `step`-th is taken.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Callable

from sfmlearner_tf.data.frames import read_upright_size
from sfmlearner_tf.data.sequences import Frame, Intrinsics, Listing, Selection
from sfmlearner_tf.data.video import VIDEO_ENDINGS, decode_video, find_images, read_video_times
from sfmlearner_tf.errors import UserError

Calibrate = Callable[[int, int], Intrinsics]
"""From the width and height of frames to their intrinsics. Raises UserError if those are implausible."""


def list_images(folder: str, selection: Selection, calibrate: Calibrate, step: int = 1) -> Listing:
    """Lists the images of one folder as one sequence."""
    listing = Listing()
    paths = find_images(folder)
    size = next(_sizes(paths), None)
    if size:
        frames = {number: Frame(f"{number:010d}", path) for number, path in enumerate(paths) if number % step == 0}
        name = _folder_name(os.path.abspath(folder))
        listing.add(name, name, frames, calibrate(*size), selection, step)
    return listing


def _sizes(paths: list[str]) -> Iterator[tuple[int, int]]:
    for path in paths:
        with contextlib.suppress(UserError):
            yield read_upright_size(path)


def list_videos(path: str, selection: Selection, calibrate: Calibrate, step: int = 1) -> Listing:
    """Lists one video, or every video of a folder, as one sequence each.

    Raises UserError without imageio-ffmpeg, and if two videos would share an output folder.
    """
    listing = Listing()
    for name, video in _name_videos(path).items():
        if not os.path.isfile(video):
            # ffmpeg would wait for ever for somebody to write to a pipe.
            listing.note("damaged video", f"{video}: this is no regular file", lost=True)
            continue
        times_s, complaint = read_video_times(video)
        with contextlib.closing(decode_video(video, [])) as pictures:
            first = next(pictures, None)
        if complaint or first is None:
            listing.note("damaged video", f"{video}: {complaint or 'no frame, or a too large one'}", lost=True)
        if first is not None:
            frames = {number: Frame(f"{number:010d}", video, number) for number in range(0, len(times_s), step)}
            listing.add(name, name, frames, calibrate(*first.size), selection, step)
    return listing


def _name_videos(path: str) -> dict[str, str]:
    """The paths of the videos by their output folder, in order."""
    paths = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
    videos: dict[str, str] = {}
    for video in paths:
        if video.lower().endswith(VIDEO_ENDINGS):
            other = videos.setdefault(_folder_name(video), video)
            if other != video:
                raise UserError(f"{video} and {other}: expected names that differ in more than spaces: rename one")
    return videos


def _folder_name(path: str) -> str:
    """The file name without what a list of examples cannot hold: spaces, and bytes that are no UTF-8."""
    return re.sub(r"\s+|[\ud800-\udfff]", "_", os.path.basename(path)) or "images"
