"""Kills training with signal 9 at random moments, lets it go on, and counts how often it ends as if undisturbed.

    python benchmarks/kill_resume.py --trials=20

Every second trial waits for a save and strikes there. Prints each trial and how many ended in the same bits: weights,
Adam's moments, step and place in the data. Exit status 1 where one did not.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from kitti_eval import command
from sfmlearner_tf.errors import UserError

_TRIALS = flags.DEFINE_integer("trials", 20, "Runs that are killed.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 20, "Steps of each run; it saves every fifth.", lower_bound=6)
_SEED = flags.DEFINE_integer("seed", 0, "Decides the moments.")


def main() -> None:
    moments = random.Random(_SEED.value)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        write_examples(data)
        whole = Path(folder, "whole")
        process = start(data, whole)
        begun = wait_for_start(process)
        wait_for_end(process)
        seconds = time.monotonic() - begun
        expected = read_tensors(whole)
        same, in_saves = 0, 0
        for trial in tqdm(range(_TRIALS.value), unit="trial", disable=None):
            run = Path(folder, f"trial-{trial}")
            moment = kill_once(data, run, moments, seconds, in_save=trial % 2 == 1)
            in_saves += any(run.glob(".writing-*"))
            finish(data, run)
            equal = is_same(expected, read_tensors(run))
            same += equal
            tqdm.write(f"trial {trial + 1}: {moment}; {'same bits' if equal else 'OTHER BITS'}")
            for file in run.glob("model*"):
                file.unlink()
    print(f"{same} of {_TRIALS.value} ended in the same bits, {in_saves} of them were killed while they wrote")
    if same < _TRIALS.value:
        raise UserError("a run that was killed and went on ended in other bits than the undisturbed one")


def start(data: Path, run: Path, *more: str) -> subprocess.Popen:
    options = {
        "dataset_dir": data,
        "checkpoint_dir": run,
        "img_height": 32,
        "img_width": 64,
        "batch_size": 2,
        "save_latest_freq": 5,
        "val_freq": 0,
        "max_steps": _STEPS.value + 1,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "sfmlearner_tf.train", *arguments, *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_once(data: Path, run: Path, moments: random.Random, seconds: float, in_save: bool) -> str:
    """Starts a run and kills it; says when."""
    process = start(data, run)
    begun = wait_for_start(process)
    if in_save:
        for _ in range(moments.randint(1, _STEPS.value // 5)):
            wait_for_save(process, run)
        time.sleep(moments.uniform(0, 0.6))
    else:
        time.sleep(moments.uniform(0, seconds))
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return f"{'killed' if alive else 'had ended'} {time.monotonic() - begun:.1f} s after its start"


def wait_for_start(process: subprocess.Popen) -> float:
    """Returns when the first step begins: the time of a monotonic clock."""
    assert process.stdout is not None
    for line in process.stdout:
        if " from step " in line:
            break
    return time.monotonic()


def wait_for_save(process: subprocess.Popen, run: Path) -> None:
    """Returns when the next save begins, or the process has ended."""
    for present in (False, True):
        while any(run.glob(".writing-*")) != present and process.poll() is None:
            time.sleep(0.002)


def wait_for_end(process: subprocess.Popen) -> None:
    """Raises UserError where the run fails."""
    output, _ = process.communicate()
    if process.returncode:
        raise UserError(f"a run failed: {output}")


def finish(data: Path, run: Path) -> None:
    """Lets a run that was killed go on; before its first save it starts anew."""
    wait_for_end(start(data, run, *(["--continue_train"] if any(run.glob("model*.index")) else [])))


def read_tensors(run: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run / "model.latest"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def is_same(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    return expected.keys() == found.keys() and all(
        expected[name].tobytes() == found[name].tobytes() for name in expected
    )


def write_examples(folder: Path) -> None:
    """Formatted data of eight examples of random pictures."""
    from sfmlearner_tf.data.formatted import Example, write_example

    pixels = np.random.RandomState(0)
    examples = [Example("pictures", f"{number:010d}") for number in range(8)]
    for example in examples:
        coarse = [Image.fromarray(pixels.randint(0, 256, (4, 8, 3), np.uint8)) for _ in range(3)]
        frames = [image.resize((64, 32), Image.Resampling.BICUBIC) for image in coarse]
        write_example(str(folder), example, frames, (40.0, 40.0, 32.0, 16.0))
    (folder / "train.txt").write_text("".join(f"{example.folder} {example.frame}\n" for example in examples))


if __name__ == "__main__":
    command.run(main)
