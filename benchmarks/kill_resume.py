"""Kills one training run again and again with signal 9, lets it go on each time, and compares its end with the end of
an undisturbed run, bit for bit: weights, Adam's moments, step and place in the data.

    python benchmarks/kill_resume.py --kills=200 --steps=2000

It is the real training command with a small depth network, on small pictures, so that a kill costs some ten seconds;
--release_networks takes the release's. A quarter of the kills come while the command starts, the others spread over the
steps, half of them while it saves. Exit status 1 where the bits differ.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from kitti_eval import command
from sfmlearner_tf.errors import UserError

_KILLS = flags.DEFINE_integer("kills", 20, "How often the run is killed.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 200, "Steps of the run; it saves every fifth.", lower_bound=6)
_SEED = flags.DEFINE_integer("seed", 0, "Decides the moments.")
_RELEASE_NETWORKS = flags.DEFINE_bool("release_networks", False, "Train the release's networks, not small ones.")

_SMALL_TRAIN = Path(__file__).resolve().parents[1] / "tests" / "small_train.py"


def main() -> None:
    moments = random.Random(_SEED.value)
    with tempfile.TemporaryDirectory() as folder:
        data, run, undisturbed = (Path(folder, name) for name in ("data", "run", "undisturbed"))
        write_examples(data)
        process = start(data, undisturbed)
        seconds_to_start = wait_for_start(process)
        finish(process)
        struck: Counter[str] = Counter()
        for number in tqdm(range(_KILLS.value), unit="kill", disable=None):
            process = start(data, run)
            step = number * _STEPS.value // _KILLS.value
            moment = strike(process, run, moments, step, seconds_to_start)
            struck["after its end" if process.poll() is not None else moment] += 1
            process.kill()
            process.communicate()
        finish(start(data, run))
        print(f"killed: {', '.join(f'{count} times {moment}' for moment, count in sorted(struck.items()))}")
        compare(read_tensors(undisturbed), read_tensors(run))
    print(f"after {_KILLS.value} kills the {_STEPS.value} steps ended in the same bits")


def start(data: Path, run: Path) -> subprocess.Popen:
    """Starts the command; a run that has saved goes on."""
    options = {
        "dataset_dir": data,
        "checkpoint_dir": run,
        "img_height": 32,
        "img_width": 32,
        "batch_size": 1,
        "num_scales": 1,
        "save_latest_freq": 5,
        "val_freq": 0,
        "max_steps": _STEPS.value + 1,
        "continue_train": str(any(run.glob("model*.index"))).lower(),
    }
    program = ["-m", "sfmlearner_tf.train"] if _RELEASE_NETWORKS.value else [str(_SMALL_TRAIN)]
    return subprocess.Popen(
        [sys.executable, "-u", *program, *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def strike(process: subprocess.Popen, run: Path, moments: random.Random, step: int, seconds_to_start: float) -> str:
    """Returns when the process is to be killed, and says what it may be doing.

    Unless that is while it starts, it is soon after the `step` was saved.
    """
    kind = moments.random()
    if kind < 0.25:
        time.sleep(moments.uniform(0, 1.5 * seconds_to_start))  # so that it also comes while the step is compiled
        return "while it started"
    while find_saved_step(run) <= step and process.poll() is None:
        time.sleep(0.02)
    if kind < 0.625:
        time.sleep(moments.uniform(0, 0.5))
        return "at any moment"
    while not any(run.glob(".writing-*")) and process.poll() is None:
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.05))
    return "around a save"


def wait_for_start(process: subprocess.Popen) -> float:
    """How many seconds it takes the process, just begun, to come to where its steps begin."""
    assert process.stdout is not None
    begun = time.monotonic()
    for line in process.stdout:
        if " from step " in line:
            break
    return time.monotonic() - begun


def finish(process: subprocess.Popen) -> None:
    """Raises UserError where the run fails."""
    output, _ = process.communicate()
    if process.returncode:
        raise UserError(f"a run failed: {output}")


def find_saved_step(run: Path) -> int:
    """The step of the newest checkpoint, 0 where there is none or one takes the place of another right now."""
    from sfmlearner_tf.checkpoint import GLOBAL_STEP, read_scalar

    try:
        return int(read_scalar(str(run / "model.latest"), GLOBAL_STEP, 0))
    except UserError:
        return 0


def read_tensors(run: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run / "model.latest"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def compare(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    """Raises UserError where a tensor is another one."""
    differing = [name for name in expected if name not in found or expected[name].tobytes() != found[name].tobytes()]
    if differing or len(found) != len(expected):
        raise UserError(f"the run that was killed ended in other bits: {', '.join(differing)}")


def write_examples(folder: Path) -> None:
    """Formatted data of 40 examples of random pictures."""
    from sfmlearner_tf.data.formatted import Example, write_example

    pixels = np.random.RandomState(0)
    examples = [Example("pictures", f"{number:010d}") for number in range(40)]
    for example in examples:
        coarse = [Image.fromarray(pixels.randint(0, 256, (4, 4, 3), np.uint8)) for _ in range(3)]
        frames = [image.resize((32, 32), Image.Resampling.BICUBIC) for image in coarse]
        write_example(str(folder), example, frames, (20.0, 20.0, 16.0, 16.0))
    (folder / "train.txt").write_text("".join(f"{example.folder} {example.frame}\n" for example in examples))


if __name__ == "__main__":
    command.run(main)
