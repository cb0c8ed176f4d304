"""The output of `predict`: coloured pictures, arrays and videos, all written atomically."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image

from kitti_eval.files import write_aside, write_whole
from kitti_eval.resize import resize_bilinear
from sfmlearner_tf.data.video import find_ffmpeg
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import CloudWriter
from sfmlearner_tf.tools.predict_input import Picture

if TYPE_CHECKING:
    from sfmlearner_tf.tools.predict_surfaces import SurfaceWriter

LAYOUTS = ("above", "beside", "depth")

# Percentiles of disparity at the ends of the colour range, so that a few outliers do not set it.
_ENDS = (2, 98)


def find_range(disparities: Iterable[np.ndarray]) -> tuple[float, float]:
    """The ends of the colour range for disparities of any shapes."""
    low, high = np.percentile(np.concatenate([disparity.ravel() for disparity in disparities]), _ENDS)
    return float(low), float(high)


def colour_disparity(disparity: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Colours disparity [H, W] as RGB uint8 [H, W, 3]: near is bright, values beyond the ends are clipped."""
    low, high = ends
    nearness = (disparity - low) / max(high - low, 1e-9)
    return colormaps["magma"](np.clip(nearness, 0, 1), bytes=True)[..., :3]


def compose(image: Image.Image, coloured: np.ndarray, layout: str) -> np.ndarray:
    """The picture, RGB uint8: the image "above" its depth, "beside" it, or the "depth" alone."""
    if layout == "depth":
        return coloured
    return np.concatenate([np.asarray(image), coloured], axis=0 if layout == "above" else 1)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes RGB uint8 [H, W, 3] as PNG. Raises UserError if the file cannot be written."""
    buffer = io.BytesIO()
    # Half the time of the default level, for files a tenth larger.
    Image.fromarray(pixels).save(buffer, "png", compress_level=3)
    _write(path, buffer.getvalue())


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes a .npy file. Raises UserError if it cannot be written."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    _write(path, buffer.getvalue())


@contextmanager
def open_video(path: Path, frames_per_second: float) -> Iterator[Callable[[np.ndarray], None]]:
    """A context that yields a function to add frames, RGB uint8 [H, W, 3] of one size, to an mp4.

    The file appears only if the context ends without an exception. Raises UserError if it cannot be written.
    """
    encoders: list[Callable[[np.ndarray], None]] = []
    with ExitStack() as stack:

        def write(pixels: np.ndarray) -> None:
            if not encoders:
                try:
                    file = stack.enter_context(write_aside(path))
                except OSError as error:
                    raise UserError(f"{path}: cannot write the video; {error.strerror}") from error
                encoders.append(stack.enter_context(_encode(file, path, pixels.shape[:2], frames_per_second)))
            encoders[0](pixels)

        yield write


@contextmanager
def _encode(
    file: BinaryIO, path: Path, size: tuple[int, ...], frames_per_second: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """A context that yields a function to add frames of a size, (height, width), to an mp4 in an open file.

    Raises UserError, which names `path`, if it cannot be written.
    """
    with tempfile.TemporaryFile() as complaints:
        process = _start_encoder(file, size, frames_per_second, complaints)

        def write(pixels: np.ndarray) -> None:
            try:
                process.stdin.write(pixels.tobytes())  # type: ignore[union-attr]
            except BrokenPipeError:
                raise _encoder_error(path, complaints) from None

        try:
            yield write
            process.communicate()
            if process.returncode:
                raise _encoder_error(path, complaints)
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                process.communicate()


def _start_encoder(file: BinaryIO, size: tuple[int, ...], frames_per_second: float, complaints: IO) -> subprocess.Popen:
    height, width = size
    form = ["-s", f"{width}x{height}", "-r", f"{frames_per_second:.6f}"]
    pixels = ["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", *form, "-i", "-"]
    # Players require this pixel format, which needs even sides.
    video = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    return subprocess.Popen(
        [find_ffmpeg(), *pixels, *video, f"/dev/fd/{file.fileno()}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        # Where this process is killed, the encoder goes on to hold the lock of the file until it has ended.
        pass_fds=[file.fileno()],
        # Its own session, so that Ctrl-C reaches only this process.
        start_new_session=True,
    )


def _encoder_error(path: Path, complaints: IO) -> UserError:
    complaints.seek(0)
    complaint = complaints.readline().decode(errors="replace").strip()
    return UserError(f"{path}: cannot write the video; {complaint or 'ffmpeg stopped'}")


class PictureWriter(NamedTuple):
    """Writes the predictions of one recording in the chosen formats; threads may write images, a video has an order.

    ends: disparity range of the colours, or None for that of each image. scale: factor for depths. cloud: what writes
    point clouds, if any. surfaces: what writes normals and edges, if any.
    """

    folder: Path
    writes_png: bool
    writes_npy: bool
    add_to_video: Callable[[np.ndarray], None] | None
    layout: str
    ends: tuple[float, float] | None
    scale: float
    cloud: CloudWriter | None = None
    surfaces: SurfaceWriter | None = None

    def write(self, picture: Picture, depth: np.ndarray) -> np.ndarray | None:
        """Writes the files of the depth [h, w] predicted for one image; returns the picture if there is a video.

        Raises UserError if a file cannot be written.
        """
        if self.cloud:
            self.cloud.write(picture, depth)
        if self.surfaces:
            self.surfaces.write(picture, depth)
        width, height = picture.image.size
        disparity = resize_bilinear(1 / depth, height, width)
        if self.writes_npy:
            write_array(self.folder / f"{picture.frame.name}_depth.npy", self.scale / disparity)
        if not self.writes_png and not self.add_to_video:
            return None
        coloured = colour_disparity(disparity, self.ends or find_range([disparity]))
        pixels = compose(picture.image, coloured, self.layout)
        if self.writes_png:
            write_png(self.folder / f"{picture.frame.name}_depth.png", pixels)
        return pixels if self.add_to_video else None


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(str(path), content)
    except OSError as error:
        raise UserError(f"{path}: cannot write the prediction; {error.strerror}") from error
