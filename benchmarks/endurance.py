"""Trains for a long time with frequent summaries, saves and validations, and watches memory and open files.

    python benchmarks/endurance.py --dataset_dir=demo/formatted --minutes=60

Prints memory and open files once a minute, then the slope of memory after the first fifth, per 1,000 steps. `make demo`
leaves demo/formatted.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from kitti_eval import command
from sfmlearner_tf.errors import UserError

_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "Formatted data of --img_height x --img_width.", required=True)
_MINUTES = flags.DEFINE_float("minutes", 60.0, "How long to train.", lower_bound=1)
_IMG_HEIGHT = flags.DEFINE_integer("img_height", 64, "Height of the frames, pixels.")
_IMG_WIDTH = flags.DEFINE_integer("img_width", 208, "Width of the frames, pixels.")
_SECONDS_BETWEEN = 10.0


class Look(NamedTuple):
    """What the training process holds at a moment."""

    seconds: float
    memory_mb: float
    open_files: int


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as output, subprocess.Popen(_train(folder), stdout=output, stderr=output) as process:
            try:
                looks = list(_watch(process))
            finally:
                process.terminate()
                process.wait()
        text = log.read_text()
    saved = re.search(r"saved .* at step (\d+)", text)
    if not saved:
        raise UserError(f"training ended before its time: {text[-500:]}")
    settled = looks[len(looks) // 5 :]
    seconds, memory_mb, open_files = (np.array(column) for column in zip(*settled))
    steps_per_second = int(saved[1]) / looks[-1].seconds
    slope = np.polyfit(seconds, memory_mb, 1)[0] / steps_per_second * 1000
    print(f"{saved[1]} steps in {looks[-1].seconds / 60:.0f} minutes; of the last four fifths:")
    print(f"memory {memory_mb[0]:.0f} to {memory_mb[-1]:.0f} MB, slope {slope:+.2f} MB per 1,000 steps")
    print(f"open files {open_files.min()} to {open_files.max()}, {open_files[-1]} at the end")


def _watch(process: subprocess.Popen) -> Iterator[Look]:
    """Looks at the process until its time is over or it ends."""
    started, folder = time.monotonic(), Path(f"/proc/{process.pid}")
    while (seconds := time.monotonic() - started) < 60 * _MINUTES.value and process.poll() is None:
        status = (folder / "status").read_text()
        look = Look(seconds, int(status.split("VmRSS:")[1].split()[0]) / 1024, len(list((folder / "fd").iterdir())))
        if int(seconds / 60) > int((seconds - _SECONDS_BETWEEN) / 60):
            print(f"{seconds / 60:3.0f} min: {look.memory_mb:.0f} MB, {look.open_files} open files", flush=True)
        yield look
        time.sleep(_SECONDS_BETWEEN)


def _train(folder: str) -> list[str]:
    frequencies = {"summary_freq": 20, "save_latest_freq": 200, "val_freq": 500, "watch_freq": 10}
    options = {
        "dataset_dir": _DATASET_DIR.value,
        "checkpoint_dir": str(Path(folder, "run")),
        "img_height": _IMG_HEIGHT.value,
        "img_width": _IMG_WIDTH.value,
        "max_steps": 10**9,
        **frequencies,
    }
    return [sys.executable, "-m", "sfmlearner_tf.train", *(f"--{name}={value}" for name, value in options.items())]


if __name__ == "__main__":
    command.run(main)
