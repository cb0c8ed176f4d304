"""Finds and opens the images of a dataset."""

from __future__ import annotations

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kitti_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

# KITTI's have 0.5 million. An evaluation needs some 100 bytes of memory for each pixel.
MAX_PIXELS = 2**24
# For some of the others Pillow starts other programs, or raises what it likes.
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def find_image(folder: str | Path, image_file: str) -> Path:
    """The file of a listed image, which may be a .jpg where the list says .png, as many keep KITTI.

    Raises UserError if there is neither.
    """
    listed = Path(folder, image_file)
    for path in (listed, listed.with_suffix(".jpg")):
        if path.is_file():
            return path
    raise UserError(f"{listed}: expected this image or one named {listed.stem}.jpg, found neither")


@contextmanager
def open_image(
    path: str | os.PathLike[str], expected: str = "an image", max_pixels: int = MAX_PIXELS
) -> Iterator[Image]:
    """Yields an image whose pixels are not yet decoded.

    Raises UserError, which names what was `expected`, if it is missing, damaged, of another format or of more than
    `max_pixels`, also if the damage shows only when the pixels are decoded inside the `with` block.
    """
    from PIL import Image

    # What is refused below needs no warning.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            # Opening a pipe that nobody writes to would wait for ever.
            raise ValueError("this is no regular file")
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ValueError(f"{image.width}x{image.height} pixels exceed the limit of {max_pixels} pixels")
            yield image
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        # Pillow puts the path into some of its messages.
        reason = " ".join(str(error).replace(repr(os.fspath(path)), "").split())
        raise UserError(f"{path}: expected {expected}; {getattr(error, 'strerror', None) or reason}") from error
