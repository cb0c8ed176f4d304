"""Times the input pipeline on one core: whole batches with each --cache, and the stages they are made in.

    python benchmarks/pipeline.py --rounds=20

Prints rows of the table of benchmarks/bench.py: the time of a batch at 128x416, 3 frames and batch 4, and how many
examples a second that makes; with a cache once it is filled. Below, what each stage alone takes of a batch, as a share
of the batch without a cache; mirroring (--random_flip) is off by default and not in it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace

from absl import flags
from pictures import write_examples
from timing import row, time_calls

from kitti_eval import command

# Several batches are timed at once, for some are ready before they are asked for.
CALLS_A_ROUND = 10

_ROUNDS = flags.DEFINE_integer("rounds", 20, "Rounds of 10 batches that are timed, after a first.", lower_bound=1)


def main() -> None:
    # Before TensorFlow counts the cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    from sfmlearner_tf import TrainConfig
    from sfmlearner_tf.data import batches

    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(dataset_dir=folder, num_threads=1)
        examples = write_examples(config)
        medians = {}
        for cache in ("none", "memory", "disk"):
            data = iter(batches.make_batches(replace(config, cache=cache), examples))
            seconds = time_batches(lambda data=data: next(data))
            medians[cache] = statistics.median(seconds)
            note = f"one core, {config.batch_size / medians[cache]:.0f} examples/s"
            print(row(f"input batch, cache={cache}", seconds, note), flush=True)
        for name, stage in make_stages(config, examples).items():
            seconds = time_batches(stage)
            note = f"{100 * statistics.median(seconds) / medians['none']:.0f} % of a batch without a cache"
            print(row(f"input batch, {name} alone", seconds, note), flush=True)


def make_stages(config, examples) -> dict[str, Callable]:
    """Each stage of a batch by its name, as a function without arguments."""
    import tensorflow as tf

    from sfmlearner_tf.data import augmentation, batches

    stems = tf.constant([example.stem(config.dataset_dir) for example in examples[: config.batch_size]])

    def load(stems):
        return [batches.load_example(stem, config) for stem in tf.unstack(stems)]

    # An argument, for the graph's optimiser decodes a constant once and for all.
    load_in_graph = tf.function(load)
    batch = batches.stack_examples(load(stems))
    step = tf.Variable(0, dtype=tf.int64)
    return {
        "decode": lambda: load_in_graph(stems),
        "augment": tf.function(lambda: augmentation.augment(batch, config.seed, step.assign_add(1))),
        "mirror": tf.function(lambda: augmentation.flip(batch, config.seed, step.assign_add(1))),
    }


def time_batches(function: Callable) -> list[float]:
    return time_calls(function, _ROUNDS.value, CALLS_A_ROUND, warm_up=1)


if __name__ == "__main__":
    command.run(main)
