"""Result files: written aside and renamed, so that a file is whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kitti_eval.command import UserError


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path`, making its folder. Raises UserError where that is not possible."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write the result ({error.strerror})") from error


def write_json(path: str | Path, content: Any) -> None:
    """`write_text` of indented JSON; NaN is no JSON and raises ValueError."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
