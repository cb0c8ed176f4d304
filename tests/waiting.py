"""Waiting for the files of a running command."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import time
from pathlib import Path

from forked import ForkedCommand


def wait_for_file(process: subprocess.Popen | ForkedCommand, folder: Path, pattern: str, count: int = 1) -> None:
    """Returns as soon as so many paths in the folder match, `*` at any depth; what comes and goes is no error."""
    while len(fnmatch.filter(_list(folder), pattern)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)


def _list(folder: Path) -> list[str]:
    # `os.walk`, unlike `rglob`, passes over a folder that is removed while it is read.
    found = [os.path.join(where, name) for where, folders, files in os.walk(folder) for name in folders + files]
    return [os.path.relpath(path, folder) for path in found]
