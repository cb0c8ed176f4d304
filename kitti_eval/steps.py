"""Runs commands as steps that are skipped if nothing has changed since they last ran."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kitti_eval import files
from kitti_eval.errors import UserError

# A command that is stopped gets so long to put its files in order: training finishes a step and saves.
_STOP_S = 60


class Steps:
    """Runs commands and remembers in `folder` with what; `version`: that of the program, which decides results too."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder = folder / "steps"
        self._version = version

    def run(self, name: str, arguments: list[str], inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
        """Runs a command, unless it last did so with this version, these arguments and inputs, and left these outputs.

        Files are told apart by path, size and time of change; a folder stands for its files.

        If the command fails, which prints the reason, exits with its exit status. Raises UserError if it was killed.
        """
        record = self._folder / f"{name.replace(' ', '_')}.json"
        before = {"version": self._version, "arguments": arguments, "inputs": fingerprint(inputs)}
        outputs = list(outputs)
        if _read_record(record) == {**before, "outputs": fingerprint(outputs)}:
            print(f"{name}: already done")
            return
        print(f"{name}: {shlex.join(arguments)}", flush=True)
        status = run_command(arguments)
        if status < 0:
            raise UserError(f"{name}: its command was ended by signal {-status} ({signal.strsignal(-status)})")
        if status:
            raise SystemExit(status)
        files.write_json(record, {**before, "outputs": fingerprint(outputs)})


def fingerprint(paths: Iterable[Path]) -> str:
    """A text that changes with the paths, their order, and the size or time of change of any of their files."""
    found = hashlib.sha256()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            try:
                state = file.stat()
            except FileNotFoundError:
                found.update(os.fsencode(f"{file}\0missing\0"))
            else:
                found.update(os.fsencode(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\0"))
    return found.hexdigest()


def run_command(arguments: list[str], environment: Mapping[str, str] | None = None) -> int:
    """The exit status of a command; if this one is stopped, so is that, and has put its files in order first.

    environment: its variables; None for those of this process.
    """
    command = None
    try:
        with _stops_put_off():
            command = subprocess.Popen(arguments, env=environment)
        return command.wait()
    except BaseException as reason:
        if command:
            _stop(command, is_told=type(reason) is KeyboardInterrupt)
        raise


def _stop(command: subprocess.Popen, is_told: bool) -> None:
    """is_told: by Ctrl-C, which the terminal sends to the command as well; a second signal could end it at once."""
    try:
        if is_told:
            _wait(command)
        command.terminate()
        _wait(command)
    finally:
        command.kill()
        command.wait()


def _wait(command: subprocess.Popen) -> None:
    with suppress(subprocess.TimeoutExpired):
        command.wait(_STOP_S)


@contextmanager
def _stops_put_off() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end: one that came while a command starts would leave it running."""
    came: list[int] = []
    numbers = signal.SIGINT, signal.SIGTERM
    handlers = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers):
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _read_record(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
