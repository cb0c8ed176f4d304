"""Times how a training step and its memory grow with batch, size and length, and the start with the list of examples.

    python benchmarks/growth.py --output=docs/growth.png      # takes half an hour, alone on the machine

Prints each figure as it comes, and draws them.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from timing import describe_machine

from kitti_eval import command
from sfmlearner_tf.config import TrainConfig

BATCHES = (1, 2, 4, 8, 16)
SIZES = ((64, 208), (96, 320), (128, 416), (192, 640), (256, 832))
LENGTHS = (3, 5, 7)
LISTS = (1_000, 10_000, 100_000, 1_000_000)

_OUTPUT = flags.DEFINE_string("output", None, "Picture to write.", required=True)
_STEPS = flags.DEFINE_integer("steps", 6, "Steps that are timed for each point.", lower_bound=1)


class Point(NamedTuple):
    seconds: float
    memory_gb: float


def main() -> None:
    step = partial(time_step, _STEPS.value)
    panels: dict[str, dict[float, Point]] = {
        "batch": {size: measure(step, batch_size=size) for size in BATCHES},
        "thousands of pixels": {
            height * width / 1000: measure(step, img_height=height, img_width=width) for height, width in SIZES
        },
        "frames": {length: measure(step, seq_length=length) for length in LENGTHS},
        "examples listed": {count: measure(time_start, count=count) for count in LISTS},
    }
    draw(panels, Path(_OUTPUT.value))


def measure(function: Callable[..., Point], **options: int) -> Point:
    """Calls it in a process of its own, whose memory nothing else has used."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        point = pool.submit(function, **options).result()
    named = ", ".join(f"{name}={value}" for name, value in options.items())
    print(f"{named}: {point.seconds:.3f} s, {point.memory_gb:.2f} GB", flush=True)
    return point


def time_step(steps: int, **options: Any) -> Point:
    """A training step, input included, and the most memory of the process."""
    from steps import StepTimer, peak_memory_gb

    with tempfile.TemporaryDirectory() as folder:
        timer = StepTimer(TrainConfig(dataset_dir=folder, **options))
        return Point(statistics.median(timer.time_steps(steps)), peak_memory_gb())


def time_start(count: int) -> Point:
    """From a list of so many examples to the iterator over its batches."""
    from steps import peak_memory_gb

    from sfmlearner_tf.data.batches import make_batches
    from sfmlearner_tf.data.formatted import read_split

    with tempfile.TemporaryDirectory() as folder:
        lines = (f"2011_09_26_drive_{number // 1000:04d}_sync_02 {number % 1000:010d}\n" for number in range(count))
        Path(folder, "train.txt").write_text("".join(lines))
        started = time.perf_counter()
        iter(make_batches(TrainConfig(dataset_dir=folder), read_split(folder, "train")))
        return Point(time.perf_counter() - started, peak_memory_gb())


def draw(panels: dict[str, dict[float, Point]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(14, 3.6), layout="constrained")
    for axis, (name, points) in zip(axes, panels.items()):
        memory = axis.twinx()
        axis.plot(list(points), [point.seconds for point in points.values()], "o-", color="C0")
        memory.plot(list(points), [point.memory_gb for point in points.values()], "s--", color="C1")
        axis.set(xlabel=name, ylabel="seconds", ylim=(0, None))
        memory.set(ylabel="memory, GB", ylim=(0, None))
        if max(points) > 100 * min(points):
            axis.set_xscale("log")
        axis.yaxis.label.set_color("C0")
        memory.yaxis.label.set_color("C1")
    figure.suptitle(f"A training step at 128x416, batch 4, 3 frames, and its start; {describe_machine()}", fontsize=8)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    command.run(main)
