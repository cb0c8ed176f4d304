"""Reads text files and writes results atomically: to a temporary file, which is then renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kitti_eval.errors import UserError


def read_lines(path: str | Path, expected: str) -> list[str]:
    """The lines of a text file. Raises UserError, which names what was `expected`, if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected {expected}, found no text") from error
    except OSError as error:
        raise UserError(f"{path}: expected {expected}; {error.strerror}") from error


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path`, creating its folder. Raises UserError if that fails."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write the result ({error.strerror})") from error


def write_text(path: str | Path, text: str) -> None:
    """`write_bytes` of the text in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """`write_text` of indented JSON. Raises ValueError for NaN, which JSON does not allow."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
