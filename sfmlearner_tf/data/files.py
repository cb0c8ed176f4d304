"""Files that are there whole or not at all, even after a kill: written aside, then renamed."""

from __future__ import annotations

import contextlib
import os


def write_whole(path: str, content: bytes) -> None:
    """Writes a file, and its folder where need be, so that it is never seen in part. Raises OSError."""
    aside = f"{path}.part"
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        with open(aside, "wb") as file:
            file.write(content)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise
