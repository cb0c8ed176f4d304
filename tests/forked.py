"""Commands in forks of a process that has TensorFlow loaded: each starts at once, not after seconds.

How a command starts is tested on processes of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

# But no module of ours: each command imports and defines its own.
_PRELOADED = ["tensorflow", "keras", "scipy.spatial.transform", "imageio", "matplotlib.pyplot", "tqdm", "absl.app"]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_PRELOADED)


class ForkedCommand:
    """What `subprocess.Popen` of `python *arguments` would be, as far as tests need it.

    Args:
        arguments: `-m` and a module, `-c` and code, or a script, and their arguments.
        cwd: the folder that it runs in; None for that of the test.
        before: called in the new process before all else; a function that can be pickled.
        environment: the variables that it has; None for those of the test.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        before: Callable[[], Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # The command sets it too late for a TensorFlow that is loaded.
        with mock.patch.dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"):
            forkserver.ensure_running()
        pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
        writers = [writer for _, writer in pipes]
        variables = dict(os.environ if environment is None else environment)
        self._process = _FORKS.Process(target=_run, args=(arguments, cwd, variables, before, writers))
        self._process.start()
        for writer in writers:
            writer.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(reader.fileno()), encoding="utf-8") for reader, _ in pipes)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout_s: float = 300) -> int:
        self._process.join(timeout_s)
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired("a command", timeout_s)
        return self.returncode

    def communicate(self, timeout_s: float = 300) -> tuple[str, str]:
        with ThreadPoolExecutor(2) as threads:
            printed = [threads.submit(stream.read) for stream in (self.stdout, self.stderr)]
            self.wait(timeout_s)
            return printed[0].result(), printed[1].result()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `python *arguments` gives."""
    process = ForkedCommand(*arguments, cwd=cwd)
    printed = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, *printed)


# A command, whose module is to be filled in, that prints "asked for" when it leaves memory of a GPU to others. It must
# ask before TensorFlow computes anything: later it would be an error.
ASKS_FOR_MEMORY_FIRST = """
import tensorflow as tf
from sfmlearner_tf import device
from sfmlearner_tf.tools import {tool}

def allow():
    # Like a GPU's memory, the parts of the CPU can be settled only before anything is computed.
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print("asked for")

device.set_up_gpus = allow
{tool}.cli()
"""


def _run(
    arguments: tuple[str, ...],
    cwd: Path | None,
    environment: dict[str, str],
    before: Callable[[], Any] | None,
    writers: list[Connection],
) -> None:
    for number, writer in enumerate(writers, 1):
        os.dup2(writer.fileno(), number)
        writer.close()
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", buffering=1, encoding="utf-8", errors=errors, closefd=False)
        for number, errors in ((1, "surrogateescape"), (2, "backslashreplace"))
    )
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # that of TMPDIR anew
    os.chdir(cwd or os.getcwd())
    if before:
        before()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = list(arguments)
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")
