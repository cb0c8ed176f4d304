"""Times a whole training step, input included, against the rate at which this machine multiplies matrices.

    python benchmarks/train_step.py --steps=30

Prints the median step at 128x416, batch 4, float32 (93 GFLOP counted), the rate of 2048x2048 float32 products in
TensorFlow, measured before, amid and after the steps, and the first as a share of the second; and peak memory.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time

import numpy as np
from absl import flags
from PIL import Image

from kitti_eval import command

STEP_GFLOP = 93.0
MATRIX_SIDE = 2048
EXAMPLES = 16

_STEPS = flags.DEFINE_integer("steps", 30, "Steps that are timed, after a warm-up.", lower_bound=1)
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
_SAMPLER = flags.DEFINE_enum("sampler", "native", ["native", "addons"], "Sampling kernel of the warp.")
_EXPLAIN = flags.DEFINE_float("explain_reg_weight", 0.0, "As in training; above 0 the masks are learned too.")


def main() -> None:
    import tensorflow as tf

    from sfmlearner_tf import SfMLearner, TrainConfig
    from sfmlearner_tf.data import batches

    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            dataset_dir=folder,
            jit_compile=_JIT_COMPILE.value,
            sampler=_SAMPLER.value,
            explain_reg_weight=_EXPLAIN.value,
        )
        examples = write_examples(config)
        learner = SfMLearner(config)
        data = iter(batches.make_batches(config, examples))

        def step_seconds() -> float:
            started = time.perf_counter()
            losses = learner.train_step(next(data))
            float(losses["total"])
            return time.perf_counter() - started

        for _ in range(3):
            step_seconds()
        rates, steps = [matmul_gflops()], []
        for half in (_STEPS.value // 2, _STEPS.value - _STEPS.value // 2):
            steps += [step_seconds() for _ in range(half)]
            rates.append(matmul_gflops())
    step = statistics.median(steps)
    step_rate, matmul_rate = STEP_GFLOP / step, statistics.median(rates)
    print(f"TensorFlow {tf.__version__}")
    print(f"step: median {step:.3f} s, fastest {min(steps):.3f} s, {step_rate:.1f} GFLOP/s")
    print(f"matmul {MATRIX_SIDE}x{MATRIX_SIDE}: {matmul_rate:.1f} GFLOP/s ({', '.join(f'{r:.1f}' for r in rates)})")
    print(f"share: {100 * step_rate / matmul_rate:.1f} %")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def write_examples(config):
    """Formatted examples of smooth random pictures that drift from frame to frame."""
    from sfmlearner_tf.data.formatted import Example, write_example

    random = np.random.RandomState(0)
    examples = []
    for number in range(EXAMPLES):
        coarse = Image.fromarray(random.randint(0, 256, (16, 52, 3), np.uint8))
        wide = np.asarray(coarse.resize((config.img_width + 16, config.img_height), Image.Resampling.BICUBIC))
        frames = [Image.fromarray(wide[:, 4 * i : 4 * i + config.img_width]) for i in range(config.seq_length)]
        example = Example("pictures", f"{number:010d}")
        write_example(config.dataset_dir, example, frames, (241.7, 246.3, 204.2, 59.0))
        examples.append(example)
    return examples


def matmul_gflops() -> float:
    """The rate of float32 matrix products, GFLOP/s, median of 15."""
    import tensorflow as tf

    left, right = (tf.random.stateless_normal([MATRIX_SIDE, MATRIX_SIDE], [0, seed]) for seed in (1, 2))
    product = tf.function(tf.matmul)
    seconds = []
    for _ in range(18):
        started = time.perf_counter()
        product(left, right).numpy()
        seconds.append(time.perf_counter() - started)
    return 2 * MATRIX_SIDE**3 / statistics.median(seconds[3:]) / 1e9


if __name__ == "__main__":
    command.run(main)
