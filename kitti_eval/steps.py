"""Commands that run one after the other, each once: a second run repeats only what has changed."""

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
    """Runs a command unless it ran before with these arguments on these input files and its outputs are still there.

    Output folders are emptied first. A command that fails ends this process with its exit status; it has said why.

    Returns:
        The record of the run, below `folder`: an input of the steps that use these outputs.
    """
    outputs = list(outputs)
    record = folder / "steps" / f"{name.replace(' ', '_')}.json"
    state = {"arguments": arguments, "inputs": {str(path): _fingerprint(path) for path in inputs}}
    if all(path.exists() for path in outputs) and _read_record(record) == state:
        print(f"{name}: done before")
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
    """Size and time of a file; nothing where it is missing, which is for the command itself to say."""
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []


def _read_record(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
