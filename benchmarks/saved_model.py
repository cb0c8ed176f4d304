"""Times depth from a SavedModel against the network's bare convolutions, and a fresh process up to its first depth.

    python benchmarks/saved_model.py --calls=30

Prints, at 128x416 and batch 1, the median call of the signature `depth` and the median of DispNet's convolutions alone
(the same shapes, one after the other in one tf.function, nothing between them), timed in turns in one process, and the
first as a share of the second's rate; then the seconds from the start of a process that has TensorFlow alone to its
first depth.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import flags
from timing import time_in_turns

from kitti_eval import command

COLD_STARTS = 3

_CALLS = flags.DEFINE_integer("calls", 30, "Calls that are timed, after a warm-up.", lower_bound=1)
_IMG_HEIGHT = flags.DEFINE_integer("img_height", 128, "Height of the image, pixels.", lower_bound=32)
_IMG_WIDTH = flags.DEFINE_integer("img_width", 416, "Width of the image, pixels.", lower_bound=32)


def main() -> None:
    import tensorflow as tf

    from sfmlearner_tf import SfMLearner, TrainConfig
    from sfmlearner_tf.export import export_saved_model

    shape = [1, _IMG_HEIGHT.value, _IMG_WIDTH.value, 3]
    learner = SfMLearner(TrainConfig(img_height=shape[1], img_width=shape[2]))
    with tempfile.TemporaryDirectory() as folder:
        export_saved_model(learner, folder + "/saved_model")
        depth = tf.saved_model.load(folder + "/saved_model").signatures["depth"]
        image = tf.cast(tf.random.stateless_uniform(shape, [0, 0], 0, 256, tf.int32), tf.uint8)
        convolve, gflop = make_floor(learner.disp_net, shape)
        calls, floors = time_in_turns(
            [lambda: depth(images=image)["depth"].numpy(), lambda: convolve()[-1].numpy()], _CALLS.value
        )
        starts = [time_cold_start(folder + "/saved_model", shape) for _ in range(COLD_STARTS)]
    call, floor = statistics.median(calls), statistics.median(floors)
    print(f"TensorFlow {tf.__version__}")
    print(f"SavedModel:   median {1e3 * call:.1f} ms, fastest {1e3 * min(calls):.1f} ms")
    print(f"convolutions: median {1e3 * floor:.1f} ms, fastest {1e3 * min(floors):.1f} ms, {gflop / floor:.1f} GFLOP/s")
    print(f"share of the convolutions' rate: {100 * floor / call:.1f} %")
    print(f"cold start: median {statistics.median(starts):.2f} s ({', '.join(f'{start:.2f}' for start in starts)})")


def make_floor(network, shape: list[int]) -> tuple[Callable, float]:
    """A function that runs the network's convolutions and nothing else, and how many GFLOP they count.

    Which convolutions these are is read from the network's own graph. Each has an input of its own and waits for the
    one before it, as it does in the network.
    """
    import tensorflow as tf

    graph = tf.function(network).get_concrete_function(tf.TensorSpec(shape)).graph
    convolutions = [op for op in graph.get_operations() if op.type in ("Conv2D", "Conv2DBackpropInput")]
    # A transposed convolution is the gradient of one: its operands are the output's sizes, the filter and the input.
    operands = [op.inputs[-2:] if op.type == "Conv2D" else op.inputs[:0:-1] for op in convolutions]
    variables = [[tf.Variable(tf.random.stateless_normal(t.shape, [0, 1])) for t in pair] for pair in operands]

    @tf.function
    def convolve() -> list[tf.Tensor]:
        outputs: list[tf.Tensor] = []
        for op, (features, kernel) in zip(convolutions, variables):
            strides = op.get_attr("strides")
            with tf.control_dependencies(outputs[-1:]):
                if op.type == "Conv2D":
                    outputs.append(tf.nn.conv2d(features, kernel, strides, "SAME"))
                else:
                    outputs.append(tf.nn.conv2d_transpose(features, kernel, op.outputs[0].shape, strides, "SAME"))
        return outputs

    # Each of a kernel's values is used once a position of the smaller side: the output, or the input if transposed.
    positions = [
        (op.outputs[0] if op.type == "Conv2D" else op.inputs[2]).shape[:3].num_elements() for op in convolutions
    ]
    products = sum(count * kernel.shape.num_elements() for count, (_, kernel) in zip(positions, variables))
    return convolve, 2 * products / 1e9


def time_cold_start(path: str, shape: list[int]) -> float:
    """The seconds from the start of a process to its first depth."""
    code = (
        "import tensorflow as tf; "
        f"depth = tf.saved_model.load({path!r}).signatures['depth']; "
        f"depth(images=tf.zeros({shape}, tf.uint8))['depth'].numpy()"
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    command.run(main)
