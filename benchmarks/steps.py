"""Training steps on generated pictures, for the benchmarks that time them."""

from __future__ import annotations

import glob
import itertools
import resource
import statistics
import tempfile
from collections import Counter

import tensorflow as tf
from pictures import write_examples
from timing import time_calls

from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.data import batches

_MATRIX_SIDE = 2048
# Operations that contain others, by TensorFlow's trace.
_CONTAINERS = ("StatefulPartitionedCall", "PartitionedCall", "While", "If", "_XlaRun", "EagerLocalExecute")


class StepTimer:
    """A learner and its input; `config.dataset_dir` is a folder for the pictures."""

    def __init__(self, config: TrainConfig) -> None:
        examples = write_examples(config)
        self._learner = SfMLearner(config)
        self._data = iter(batches.make_batches(config, examples))
        self.time_steps(3)

    def take_step(self) -> float:
        return float(self._learner.train_step(next(self._data))["total"])

    def time_steps(self, count: int) -> list[float]:
        """The seconds of each of so many steps, input included."""
        return time_calls(self.take_step, count, warm_up=0)


def matmul_gflops() -> float:
    """The rate of float32 matrix products, GFLOP/s, median of 15."""
    left, right = (tf.random.stateless_normal([_MATRIX_SIDE, _MATRIX_SIDE], [0, seed]) for seed in (1, 2))
    product = tf.function(tf.matmul)
    seconds = time_calls(lambda: product(left, right).numpy(), 15, warm_up=3)
    return 2 * _MATRIX_SIDE**3 / statistics.median(seconds) / 1e9


def peak_memory_gb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def profile(timer: StepTimer, count: int) -> None:
    """Prints the operations of so many steps by kind, with their share of the time of all.

    Operations that run at once count each in full.
    """
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            timer.time_steps(count)
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        seconds = _read_trace(path)
    total = sum(seconds.values())
    convolutions = sum(time for kind, time in seconds.items() if "Conv2D" in kind)
    print(f"convolutions: {100 * convolutions / total:.1f} %, all else: {100 - 100 * convolutions / total:.1f} %")
    for kind, time in itertools.islice(seconds.most_common(), 20):
        print(f"{kind:44}{1e3 * time / count:8.1f} ms{100 * time / total:6.1f} %")


def _read_trace(path: str) -> Counter[str]:
    """The seconds of each kind of operation."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    seconds: Counter[str] = Counter()
    for plane in space.planes:
        for event in itertools.chain.from_iterable(line.events for line in plane.lines):
            # "name of the operation:kind"; the runtime's own events are called "A::B".
            name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if name and not name.endswith(":") and kind.isidentifier() and kind not in _CONTAINERS:
                seconds[kind] += event.duration_ps / 1e12
    return seconds
