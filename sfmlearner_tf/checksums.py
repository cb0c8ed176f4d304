"""SHA-256 sums of files, and those of an export, which `sha256sum --check SHA256SUMS` checks too."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kitti_eval.files import read_lines
from sfmlearner_tf.errors import UserError

NAME = "SHA256SUMS"
_CHUNK = 1 << 18


def write_checksums(folder: str) -> None:
    """Writes SHA256SUMS of all files below a folder. Raises OSError."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != NAME)
    lines = (f"{compute_sha256(path)}  {path.relative_to(folder)}\n" for path in paths)
    Path(folder, NAME).write_text("".join(lines))


def check_checksums(folder: str, *beginnings: str) -> None:
    """Compares the files that SHA256SUMS of a folder lists, those alone whose names begin so; without it, none.

    Raises:
        UserError: a file is missing or another one, or the list is damaged.
    """
    path = Path(folder, NAME)
    for line in read_lines(str(path), "a list of sums") if path.exists() else []:
        expected, _, name = line.partition("  ")
        if not name.startswith(beginnings):
            continue
        try:
            found = compute_sha256(Path(folder, name))
        except OSError as error:
            raise UserError(f"{folder}/{name}: expected a file, as {NAME} lists it; {error.strerror}") from None
        if found != expected:
            raise UserError(f"{folder}/{name}: expected the file that was exported, found another sum than in {NAME}")


def compute_sha256(path: Path) -> str:
    """The SHA-256 sum of a file as 64 hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
