"""Commands in forks of a process that has TensorFlow loaded: each starts at once, not after seconds.

For the many that end with a user's mistake. How a command starts is tested on processes of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

# But no module of ours: each command imports and defines its own.
_PRELOADED = ["tensorflow", "keras", "scipy.spatial.transform", "imageio", "matplotlib.pyplot", "tqdm", "absl.app"]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_PRELOADED)


def run_forked(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `python *arguments` gives: `-m` and a module, or a script, and their arguments."""
    # The command sets it too late for a TensorFlow that is loaded.
    with mock.patch.dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"):
        forkserver.ensure_running()
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_run, args=(arguments, cwd, dict(os.environ), files))
        process.start()
        process.join(300)
        process.kill()
        process.join()
        printed = [Path(file).read_text(encoding="utf-8") for file in files]
    return subprocess.CompletedProcess(arguments, process.exitcode, *printed)


def _run(arguments: tuple[str, ...], cwd: Path | None, environment: dict[str, str], files: list[str]) -> None:
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd or os.getcwd())
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")
