"""Runs commands as steps that are skipped if nothing has changed since they last ran."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kitti_eval import files


def run_once(folder: Path, name: str, arguments: list[str], inputs: Iterable[Path], outputs: Iterable[Path]) -> Path:
    """Runs a command unless it already ran with these arguments and input files and its outputs still exist.

    Output folders are removed first. If the command fails, which prints the reason, exits with its exit status.

    Returns:
        The record of the run, in `folder`: an input of the steps that use these outputs.
    """
    outputs = list(outputs)
    record = folder / "steps" / f"{name.replace(' ', '_')}.json"
    state = {"arguments": arguments, "inputs": {str(path): _fingerprint(path) for path in inputs}}
    if all(path.exists() for path in outputs) and _read_record(record) == state:
        print(f"{name}: already done")
        return record
    print(f"{name}: {shlex.join(arguments)}", flush=True)
    for path in outputs:
        if path.is_dir():
            shutil.rmtree(path)
    status = subprocess.run(arguments, check=False).returncode
    if status:
        sys.exit(status)
    files.write_json(record, state)
    return record


def _fingerprint(path: Path) -> list[int]:
    """Size and modification time of a file; empty if it is missing, which the command itself will report."""
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []


def _read_record(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
