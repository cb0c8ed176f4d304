"""Compares what a GPU computes with what the CPU does: losses, depth, motion and every step of the gradient.

    python benchmarks/gpu_gradients.py --dataset_dir=formatted --ckpt_file=checkpoints/model.latest

Takes four examples of formatted data and a run's weights. Prints for each quantity the distance of the GPU's from the
CPU's, over the CPU's, and that of the GPU's from its own second time. Rounding leaves about 1e-6 in values and some
1e-4 in gradients, for a rounded coordinate may fall on the other side of a pixel. The first row is a matrix product
over all pixels, as the gradient of the camera's rotation takes it, against float64. Without a GPU it says so and ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from absl import flags

from kitti_eval import command
from sfmlearner_tf.errors import UserError

_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "Folder of formatted data.", required=True)
_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint of a run, with its config.json.", required=True)
_TF32 = flags.DEFINE_bool("tf32", False, "Let the GPU take TensorFloat-32.")


def main() -> None:
    import tensorflow as tf

    from sfmlearner_tf.data.batches import make_batches
    from sfmlearner_tf.data.formatted import read_split
    from sfmlearner_tf.device import list_gpus, set_up_gpus
    from sfmlearner_tf.run_config import read_for_use

    set_up_gpus()
    tf.config.experimental.enable_tensor_float_32_execution(_TF32.value)
    if not list_gpus():
        raise UserError("expected a GPU to compare with the CPU, found none")
    config = read_for_use(_CKPT_FILE.value)
    if config is None:
        raise UserError(f"--ckpt_file={_CKPT_FILE.value}: expected the config.json of its run beside it, found none")
    batch = next(iter(make_batches(config, read_split(_DATASET_DIR.value, "train"))))
    cpu, gpu, again = (observe(config, batch, device) for device in ("CPU:0", "GPU:0", "GPU:0"))
    print(f"{list_gpus()[0]}, TensorFlow {tf.__version__}, TensorFloat-32 {'on' if _TF32.value else 'off'}")
    print("| quantity | GPU from CPU | GPU from itself |\n| --- | --- | --- |")
    print(f"| product over all pixels | {check_product('GPU:0'):.1e} (the CPU's: {check_product('CPU:0'):.1e}) | |")
    for name, values in cpu.items():
        if name != "weights":
            print(f"| {name} | {distance(gpu[name], values):.1e} | {distance(again[name], gpu[name]):.1e} |")
    from_cpu = [distance(*pair) for pair in zip(gpu["weights"], cpu["weights"])]
    from_itself = [distance(*pair) for pair in zip(again["weights"], gpu["weights"])]
    print(f"| gradients of the weights, median | {np.median(from_cpu):.1e} | {np.median(from_itself):.1e} |")
    print(f"| gradients of the weights, largest | {max(from_cpu):.1e} | {max(from_itself):.1e} |")


def check_product(device: str) -> float:
    """How far the sum over pixels of products of points and their gradients is from that in float64."""
    import tensorflow as tf

    random = np.random.RandomState(0)
    gradients, points = (random.normal(size=(8, 3, 128 * 416)).astype(np.float32) for _ in range(2))
    with tf.device(device):
        found = tf.matmul(tf.constant(gradients), tf.constant(points), transpose_b=True).numpy()
    return distance(found, np.einsum("bip,bjp->bij", gradients.astype(float), points.astype(float)))


def observe(config: Any, batch: Any, device: str) -> dict[str, Any]:
    """What is computed of the batch on a device; gradients are those of the total loss."""
    import tensorflow as tf

    from sfmlearner_tf import SfMLearner
    from sfmlearner_tf.losses.term import add_up

    def run() -> dict[str, Any]:
        variables = learner.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = learner.compute(batch, training=True)
            total = add_up(outputs.means)["total"]
        steps = {"poses": outputs.motion.poses}
        for view in outputs.views:
            steps |= {f"disparity {view.scale}": view.disparity, f"warped {view.scale}": view.warped}
        further, weights = tape.gradient(total, [list(steps.values()), variables], unconnected_gradients="zero")
        gradients = {f"gradient of {name}": gradient for name, gradient in zip(steps, further)}
        return {"total loss": total, **steps, **gradients, "weights": weights}

    with tf.device(device):
        learner = SfMLearner(config)
        learner.restore_weights(_CKPT_FILE.value)
        return tf.nest.map_structure(lambda value: value.numpy(), tf.function(run, autograph=False)())


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), 1e-12)


if __name__ == "__main__":
    command.run(main)
