"""Finds images in a folder, and decodes videos with ffmpeg."""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Generator
from typing import IO

from PIL import Image

from sfmlearner_tf.data.sequences import Frame, Note
from sfmlearner_tf.errors import UserError

VIDEO_ENDINGS = (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv")
IMAGE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def find_images(folder: str) -> list[str]:
    """The paths of the images of a folder in natural order. Raises OSError."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(IMAGE_ENDINGS)]
    return [os.path.join(folder, name) for name in sorted(names, key=natural_order)]


def read_video(frames: tuple[Frame, ...], notes: list[Note]) -> Generator[Image.Image | None, None, None]:
    """Decodes frames of one video in a single pass; yields None for missing ones. Damage is added to `notes`."""
    path = frames[0].path
    wanted = {frame.video_index for frame in frames}
    with contextlib.closing(decode_video(path, notes)) as pictures:
        found = 0
        for index, picture in enumerate(pictures):
            if index in wanted:
                found += 1
                yield picture
    if found < len(frames):
        notes.append(Note("frames missing at a video's end", path, lost=True, number=len(frames) - found))
        yield from [None] * (len(frames) - found)


def decode_video(path: str, notes: list[Note]) -> Generator[Image.Image, None, None]:
    """Decodes every frame of a video, upright. Damage is added to `notes`; frames too large to be decoded end it."""
    # PPM images carry their size, so rotated videos need no special case. Without a pixel format they would have two
    # bytes a colour where the film has ten bits, as phones record.
    arguments = ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen([*_ffmpeg(path), *arguments], stdout=subprocess.PIPE, stderr=complaints)
        assert process.stdout is not None
        try:
            while process.stdout.readline() == b"P6\n":
                width, height = map(int, process.stdout.readline().split())
                process.stdout.readline()
                if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
                    notes.append(Note("video of too large frames", f"{path}: {width}x{height} pixels", lost=True))
                    break
                pixels = process.stdout.read(width * height * 3)
                if len(pixels) < width * height * 3:
                    break
                yield Image.frombytes("RGB", (width, height), pixels)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
            complaint = _first_line(complaints)
            if complaint:
                notes.append(Note("video decoded with errors", f"{path}: {complaint}", lost=True))


def read_video_times(path: str) -> tuple[list[float], str]:
    """The time of each frame in seconds from the first, found without decoding, and ffmpeg's complaint about the file.

    Raises UserError without imageio-ffmpeg.
    """
    # The muxer framecrc writes comments, then one line per frame; the counts of -progress depend on ffmpeg's version.
    command = [*_ffmpeg(path), "-c", "copy", "-f", "framecrc", "-"]
    with tempfile.TemporaryFile() as complaints:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=complaints, check=False)
        complaint = _first_line(complaints)
    unit = re.search(r"^#tb 0: (\d+)/(\d+)$", result.stdout.decode(), re.MULTILINE)
    lines = re.findall(r"^\d+, *(\S+), *(\S+),", result.stdout.decode(), re.MULTILINE)
    if not unit or not lines:
        return [], complaint
    ticks = _rising_ticks(lines)
    return [(tick - ticks[0]) * int(unit[1]) / int(unit[2]) for tick in ticks], complaint


def _rising_ticks(lines: list[tuple[str, str]]) -> list[int]:
    """The times of frames in ticks, given (decode, display) times: display if valid, else decode, else 0, 1, 2, ..."""
    for column in (1, 0):
        # Frames come in decoding order. "NOPTS", or the smallest 64-bit integer, means no time.
        ticks = sorted(int(line[column].replace("NOPTS", str(-(2**63)))) for line in lines)
        if ticks[0] > -(2**63) and all(before < after for before, after in zip(ticks, ticks[1:])):
            return ticks
    return list(range(len(lines)))


def find_ffmpeg() -> str:
    """The path of the ffmpeg program. Raises UserError without imageio-ffmpeg."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise UserError(
            "videos: expected the package imageio-ffmpeg, found none (pip install 'sfmlearner_tf[video]')"
        ) from None
    return imageio_ffmpeg.get_ffmpeg_exe()


def _ffmpeg(path: str) -> list[str]:
    return [find_ffmpeg(), "-nostdin", "-v", "error", "-i", path, "-map", "0:v:0"]


def _first_line(file: IO[bytes]) -> str:
    file.seek(0)
    line = file.readline().decode(errors="replace").strip()
    return re.sub(r" @ 0x[0-9a-f]+", "", line)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts 2.png before 10.png."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name
