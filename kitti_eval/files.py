"""Reads text files, writes files atomically, and lets one process at a time work in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kitti_eval.errors import UserError
from kitti_eval.locks import open_locked


def read_text(path: str | Path, expected: str) -> str:
    """The content of a text file, without the mark that Windows puts before UTF-8.

    Raises UserError, which names what was `expected`, if it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected {expected}, found no text") from error
    except OSError as error:
        raise UserError(f"{path}: expected {expected}; {error.strerror}") from error


def read_lines(path: str | Path, expected: str) -> list[str]:
    """The lines of a text file. Raises UserError, which names what was `expected`, if it cannot be read."""
    return read_text(path, expected).splitlines()


def read_json(path: str | Path, expected: str) -> Any:
    """The content of a JSON file. Raises UserError, which names what was `expected`, if it cannot be read."""
    text = read_text(path, expected)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected {expected}, found no valid JSON") from error


def check_inside(name: str, origin: str) -> str:
    """Returns `name`, a path relative to some folder, unless it leaves that folder.

    Raises UserError, which begins with `origin`, for an absolute path, one with "..", one that names nothing, such as
    ".", and one no file system takes.
    """
    parts = name.split("/")
    if not Path(name).parts or os.path.isabs(name) or ".." in parts or "\0" in name:
        raise UserError(f"{origin}: expected a path inside the folder, found {name[:80]!r}")
    if len(os.fsencode(name)) > 4000 or any(len(os.fsencode(part)) > 255 for part in parts):
        raise UserError(f"{origin}: expected a path, found a name that is too long: {name[:80]!r}...")
    return name


@contextlib.contextmanager
def write_aside(path: str | Path) -> Iterator[BinaryIO]:
    """Yields a file that takes the place of `path` at the end; on an error `path` stays as it was. Raises OSError.

    Creates the folder. A second process that writes the same file waits for the first. What is no regular file, such
    as a device or the standard output, is written to, not replaced; a symbolic link stays one.
    """
    path = os.fspath(path)
    if _is_stream(path):
        with open(path, "ab") as file:
            yield file
        return
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    if os.path.isdir(path):
        raise IsADirectoryError(21, "Is a directory", path)
    aside = os.path.join(folder, f".{name}.part")
    with open_locked(aside) as file:
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(aside)
            raise


def write_whole(path: str | Path, content: bytes) -> None:
    """Writes a file atomically, creating its folder. Raises OSError."""
    with write_aside(path) as file:
        file.write(content)


def write_bytes(path: str | Path, content: bytes) -> None:
    """`write_whole` of a result. Raises UserError if that fails."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot write the result ({error.strerror})") from error


def write_text(path: str | Path, text: str) -> None:
    """`write_bytes` of the text in UTF-8; a file name in it that is not UTF-8 keeps its bytes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: str | Path, content: Any) -> None:
    """`write_text` of indented JSON. Raises ValueError for NaN, which JSON does not allow."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _is_stream(path: str) -> bool:
    """Whether `path` is a device, a pipe or what the standard output goes to."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return not stat.S_ISDIR(found.st_mode)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.path.samestat(found, os.fstat(sys.stdout.fileno()))
    return False
