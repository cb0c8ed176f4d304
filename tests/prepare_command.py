"""Runs the command that prepares training data, as a user does, and compares what it wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from forked import run_forked

ROOT = Path(__file__).parents[1]


def command(
    dataset_dir: Path, dump_root: Path, *options: str, dataset_name: str = "kitti_raw", seq_length: int = 3
) -> list[str]:
    """Small frames, one process."""
    return [
        sys.executable,
        str(ROOT / "tools" / "prepare_train_data.py"),
        f"--dataset_dir={dataset_dir}",
        f"--dataset_name={dataset_name}",
        f"--dump_root={dump_root}",
        f"--seq_length={seq_length}",
        "--img_height=32",
        "--img_width=48",
        "--num_threads=1",
        *options,
    ]


def prepare(*arguments: Any, **names: Any) -> subprocess.CompletedProcess[str]:
    return run_forked(*command(*arguments, **names)[1:])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
