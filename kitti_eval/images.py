"""Finds and opens the images of a dataset."""

from __future__ import annotations

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
def open_image(path: str | Path, expected: str = "an image") -> Iterator[Image]:
    """Yields an image whose pixels are not yet decoded.

    Raises UserError, which names what was `expected`, if it is missing, damaged or has more than MAX_PIXELS, also if
    the damage shows only when the pixels are decoded inside the `with` block.
    """
    from PIL import Image

    bombs = Image.DecompressionBombError, Image.DecompressionBombWarning
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels are too many")
                yield image
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, *bombs) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path}: expected {expected}; {reason}") from error
