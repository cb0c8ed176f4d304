"""A SavedModel of a few weights, for tests in which the network itself does not matter: it loads in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

HEIGHT, WIDTH = 32, 64


def write_tiny_saved_model(folder: Path) -> str:
    """Writes one with the signatures of an export, depth and the pose of three frames; returns its path."""
    random = np.random.RandomState(0)
    module = tf.Module()
    module.depth_weights = tf.Variable(random.rand(3, 3, 3, 1), dtype=tf.float32)
    module.pose_weights = tf.Variable(random.rand(9, 12) - 0.5, dtype=tf.float32)

    def resize(images: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(tf.cast(images, tf.float32), [HEIGHT, WIDTH]) / 255

    def depth(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"depth": 1 + tf.nn.conv2d(resize(images), module.depth_weights, 1, "SAME")}

    def pose(target: tf.Tensor, sources: tf.Tensor) -> dict[str, tf.Tensor]:
        colours = tf.reduce_mean(tf.concat([resize(target), resize(sources)], axis=-1), axis=[1, 2])
        return {"poses": tf.reshape(colours @ module.pose_weights, [-1, 2, 6])}

    channels = {depth: {"images": 3}, pose: {"target": 3, "sources": 6}}
    signatures = {
        function.__name__: tf.function(
            function, [tf.TensorSpec([None, None, None, count], tf.uint8, name) for name, count in inputs.items()]
        ).get_concrete_function()
        for function, inputs in channels.items()
    }
    tf.saved_model.save(module, str(folder), signatures)
    return str(folder)
