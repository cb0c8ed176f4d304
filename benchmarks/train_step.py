"""Times a whole training step, input included, against the rate at which this machine multiplies matrices.

    python benchmarks/train_step.py --steps=30
    python benchmarks/train_step.py --steps=4 --profile

Prints the median step at 128x416, batch 4 (93 GFLOP counted), the rate of 2048x2048 float32 products in TensorFlow,
measured before, amid and after the steps, and the first as a share of the second; and peak memory. --profile prints
instead where the time of a step goes, by kind of operation.
"""

from __future__ import annotations

import statistics
import tempfile

from absl import flags
from timing import row

from kitti_eval import command

STEP_GFLOP = 93.0

_STEPS = flags.DEFINE_integer("steps", 30, "Steps that are timed, after a warm-up.", lower_bound=2)
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
_SAMPLER = flags.DEFINE_enum("sampler", "native", ["native", "addons"], "Sampling kernel of the warp.")
_EXPLAIN = flags.DEFINE_float("explain_reg_weight", 0.0, "As in training; above 0 the masks are learned too.")
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "tensorfloat32", "bfloat16", "float16"], "As in training."
)
_ROW = flags.DEFINE_bool("row", False, "Print a row of the table of benchmarks/bench.py instead.")
_PROFILE = flags.DEFINE_bool("profile", False, "Print where the time goes.")


def main() -> None:
    import tensorflow as tf
    from steps import StepTimer, matmul_gflops, peak_memory_gb, profile

    from sfmlearner_tf import TrainConfig

    tf.config.experimental.enable_tensor_float_32_execution(_PRECISION.value == "tensorfloat32")
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            dataset_dir=folder,
            jit_compile=_JIT_COMPILE.value,
            sampler=_SAMPLER.value,
            explain_reg_weight=_EXPLAIN.value,
            precision=_PRECISION.value,
        )
        timer = StepTimer(config)
        if _PROFILE.value:
            profile(timer, _STEPS.value)
            return
        rates, seconds = [matmul_gflops()], []
        for half in (_STEPS.value // 2, _STEPS.value - _STEPS.value // 2):
            seconds += timer.time_steps(half)
            rates.append(matmul_gflops())
    step_s, matmul_rate = statistics.median(seconds), statistics.median(rates)
    share = 100 * STEP_GFLOP / step_s / matmul_rate
    if _ROW.value:
        name = f"training step, {_PRECISION.value}{', XLA' if _JIT_COMPILE.value else ''}"
        print(row(name, seconds, f"{share:.0f} % of the matmul rate; peak memory {peak_memory_gb():.2f} GB"))
        return
    print(f"step: median {step_s:.3f} s, fastest {min(seconds):.3f} s, {STEP_GFLOP / step_s:.1f} GFLOP/s")
    print(f"matmul 2048x2048: {matmul_rate:.1f} GFLOP/s ({', '.join(f'{rate:.1f}' for rate in rates)})")
    print(f"share: {share:.1f} %")
    print(f"peak memory: {peak_memory_gb():.2f} GB")


if __name__ == "__main__":
    command.run(main)
