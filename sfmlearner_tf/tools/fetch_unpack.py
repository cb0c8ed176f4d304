"""Safe unpacking of archives: nothing outside the folder, no links, all or nothing."""

from __future__ import annotations

import contextlib
import json
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator
from pathlib import Path, PurePosixPath
from typing import IO

from kitti_eval.files import read_json
from sfmlearner_tf.errors import UserError, first_line

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_ENDINGS = (*_TAR_ENDINGS, ".zip")
# In the unpacked folder: the sum of the archive and the sizes of its files.
_RECORD = ".fetched.json"
# What tarfile and zipfile raise for a damaged or encrypted archive or a full disk.
_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, IndexError, RuntimeError, NotImplementedError, ValueError, OverflowError, OSError,
)  # fmt: skip


def strip_ending(name: str) -> str | None:
    """The name of an archive without its ending; None if the file is not an archive."""
    return next((name[: -len(ending)] for ending in _ENDINGS if name.lower().endswith(ending)), None)


def unpack(archive: Path, name: str, sha256: str, folder: Path) -> None:
    """Unpacks an archive, whose format is given by the ending of `name`, into a new folder.

    Raises:
        UserError: it is damaged or empty; a member is a link or a device, or would lie outside the folder; or the
            folder cannot be written.
    """
    aside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)
    members = _list_zip(archive) if name.lower().endswith(".zip") else _list_tar(archive)
    try:
        with contextlib.closing(members):
            for member, content in members:
                path = aside / _check_name(member)
                path.parent.mkdir(parents=True, exist_ok=True)
                with content, path.open("xb") as file:
                    shutil.copyfileobj(content, file)
        sizes = {str(path.relative_to(aside)): path.stat().st_size for path in list_files(aside)}
        if not sizes:
            raise UserError("expected an archive of files, found none in it")
        (aside / _RECORD).write_text(json.dumps({"sha256": sha256, "sizes": sizes}), encoding="utf-8")
        aside.rename(folder)
    except (UserError, *_ERRORS) as error:
        raise UserError(f"{name}: cannot be unpacked into {folder}; {first_line(error)}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_sum(folder: Path) -> str | None:
    """The SHA-256 sum of the archive that a folder was unpacked from; None if it has no record of it.

    Raises UserError if a file is gone or its size has changed.
    """
    try:
        record = read_json(folder / _RECORD, "the record of a download")
        sha256, sizes = str(record["sha256"]), record["sizes"].items()
    except (UserError, KeyError, TypeError, AttributeError):
        return None
    for name, size in sizes:
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise UserError(f"{path}: expected the file as it was fetched, found it changed; remove {folder} first")
    return sha256


def list_files(folder: Path) -> list[Path]:
    """All files from the archive, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _RECORD)


def _list_tar(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                raise UserError(f"expected files and folders, found a link or device: {member.name!r}")
            yield member.name, content


def _list_zip(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if member.is_dir():
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"expected files and folders, found a link: {member.filename!r}")
            yield member.filename, file.open(member)


def _check_name(member: str) -> PurePosixPath:
    """The path of a member relative to the folder. Raises UserError if it leads out of it."""
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or not path.parts or ".." in path.parts or ":" in member or "\0" in member:
        raise UserError(f"expected members inside its folder, found {member!r}")
    return path
