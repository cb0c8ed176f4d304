"""Locks that last as long as their process: one that is killed holds nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kitti_eval.errors import UserError

LOCK_NAME = ".lock"


@contextlib.contextmanager
def lock_folder(folder: str | Path) -> Iterator[None]:
    """Holds a folder, which is created if needed, for this process.

    Raises:
        UserError: another process holds it, or it cannot be written to.
    """
    path = Path(folder, LOCK_NAME)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_locked(path, wait=False)
    except BlockingIOError:
        raise UserError(f"{folder}: another process works in this folder{_holder(path)}; wait for it to end") from None
    except OSError as error:
        raise UserError(f"{folder}: expected a folder to write to; {error.strerror}") from None
    with file:
        file.truncate(0)
        file.write(b"%d" % os.getpid())
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def open_locked(path: str | Path, wait: bool = True) -> BinaryIO:
    """Opens or creates a file for writing and locks it until it is closed; what it held before is still there.

    Args:
        wait: for another process that has it; otherwise raises BlockingIOError.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        try:
            _lock(file, wait)
            # Whoever had it may have renamed or removed it meanwhile.
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, wait: bool) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        # Some network drives have no locks; there a second process goes unnoticed.
        pass


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f" (process {int(path.read_text())})"
    return ""
