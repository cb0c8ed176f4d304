"""Pictures that cameras and attackers make."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image


def turned_exif() -> Image.Exif:
    """The orientation of a picture whose top row is the camera's right side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def write_png_header(path: Path, width: int, height: int) -> None:
    """A PNG that says how large it is, and has no pixels."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
