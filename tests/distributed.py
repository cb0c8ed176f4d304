"""Trains on one device and on two, side by side, and prints how far apart they end; started by test_distribution.py.

    python tests/distributed.py recommended true

The first word is the preset, the second says whether XLA compiles; a third, "small", takes a small depth network.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

import small_network
import small_train
from sfmlearner_tf import Batch, SfMLearner, TrainConfig, distribution

STEPS = 10
# Beside the preset's.
FURTHER = {"learn_intrinsics": True, "object_masks": True, "consistency_mask": "learned"}


def main(preset: str, jit_compile: str, network: str = "") -> None:
    if network == "small":
        # Without batch normalisation over a part of the batch.
        small_network.SmallNet = small_network.SteadyNet
        small_train.use_small_network(pytest.MonkeyPatch())
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    size = {"batch_size": 4, "img_height": 64, "img_width": 96, "num_scales": 2}
    options = FURTHER if preset == "free_motion" else {"explain_reg_weight": 0.2}
    config = TrainConfig.from_preset(preset, jit_compile=jit_compile == "true", **options, **size)
    workers = distribution.join("mirrored", config.batch_size)
    one = SfMLearner(config)
    with workers.scope():
        two = SfMLearner(config)
    batches = [make_batch(seed) for seed in range(STEPS)]
    found: dict[str, object] = {}
    losses = []
    for number, batch in enumerate(batches):
        if number == 2:
            (first, readings), (second, other_readings) = one.watched_step(batch), two.watched_step(batch)
            found["readings"] = {name: [float(readings[name]), float(other_readings[name])] for name in readings}
        else:
            first, second = one.train_step(batch), two.train_step(batch)
        if number == 0:
            found["gradients"] = compare_gradients(one, two)
        losses.append({name: [float(first[name]), float(second[name])] for name in first})
    replicas = [workers.strategy.experimental_local_results(variable) for variable in two.trainable_variables]
    found["losses"] = losses
    found["weights"] = distance(one.trainable_variables, [copies[0] for copies in replicas])
    found["replicas"] = len(replicas[0])
    found["between_replicas"] = distance(*zip(*replicas))
    found["counters"] = [
        [int(learner.global_step.numpy()), int(learner.optimizer.iterations.numpy())] for learner in (one, two)
    ]
    print(json.dumps(found))


def make_batch(seed: int) -> Batch:
    """Smooth pictures, one of which moves by much, so that unlike parts of the two halves fall out of view."""
    draw = np.random.RandomState(seed)

    def images(channels: int) -> tf.Tensor:
        coarse = draw.randint(0, 256, (4, 6, 9, channels)).astype(np.float32)
        return tf.cast(tf.clip_by_value(tf.image.resize(coarse, (64, 96), "bicubic"), 0, 255), tf.uint8)

    focal = np.float32([60, 45, 200, 80])
    intrinsics = np.zeros((4, 3, 3), np.float32)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:] += np.float32([[0, 0, 48], [0, 0, 32], [0, 0, 1]])
    objects = np.zeros((4, 64, 96, 3), np.uint8)
    objects[:, 10:50, 20:70] = draw.choice([0, 3], (4, 1, 1, 3), p=[0.3, 0.7])
    return Batch(images(3), images(6), tf.constant(intrinsics), {"objects": tf.constant(objects)})


def compare_gradients(one: SfMLearner, two: SfMLearner) -> dict[str, float]:
    """The distances of the gradients by name, after one step: Adam's first moments are a tenth of them."""
    both = zip(one.optimizer.moments.items(), two.optimizer.moments.values())
    return {name: distance([first], [second]) for (name, (first, _)), (second, _) in both}


def distance(expected: list[tf.Tensor], found: list[tf.Tensor]) -> float:
    """The norm of the difference, to the norm of what is expected; 0 where both are."""
    differences = [tf.convert_to_tensor(a) - tf.convert_to_tensor(b) for a, b in zip(expected, found)]
    norm = tf.linalg.global_norm([tf.convert_to_tensor(a) for a in expected])
    return float(tf.math.divide_no_nan(tf.linalg.global_norm(differences), norm))


if __name__ == "__main__":
    main(*sys.argv[1:])
