"""Layer normalisation whose statistics are noisy in training (Gordon et al., ICCV 2019, "Depth from Videos in the
Wild")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

_EPSILON = 1e-3
# The standard deviation of the noise after so many steps; it grows with their square.
_LARGEST_NOISE, _GROWTH_STEPS = 0.5, 10_000


@keras.saving.register_keras_serializable("sfmlearner_tf")
class RandomizedNorm(keras.layers.Layer):
    """Features [B, H, W, C] less their mean, over their standard deviation, of each image and channel; then scaled and
    shifted by what is learned for each channel.

    In training, mean and variance are multiplied by 1 plus a truncated normal number of each channel, the same for the
    whole batch, whose standard deviation is 0.5 min(step / 10,000, 1)^2.

    Args:
        seed: of the noise, which follows from it and the step alone.
        kwargs: Keras's own.
    """

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self._find_step: Callable[[], tf.Variable] | None = None

    def follow(self, step: tf.Variable) -> None:
        """Names the variable that counts the steps of the training; until then there is no noise."""
        # Within a function, for Keras would take it for a weight of the layer.
        self._find_step = lambda: step

    def build(self, input_shape: Any) -> None:
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        # In float32, whatever the network computes in.
        features = tf.cast(inputs, tf.float32)
        mean, variance = tf.nn.moments(features, axes=[1, 2], keepdims=True)
        if training and self._find_step:
            noise = self._draw(tf.cast(self._find_step(), tf.int64), features.shape[-1])
            mean, variance = mean * (1 + noise[0]), variance * (1 + noise[1])
        gamma, beta = tf.cast(self.gamma, tf.float32), tf.cast(self.beta, tf.float32)
        normalized = gamma * (features - mean) / tf.sqrt(variance + _EPSILON) + beta
        return tf.cast(normalized, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

    def _draw(self, step: tf.Tensor, channels: int) -> tf.Tensor:
        """The noise [2, C] of a step."""
        size = _LARGEST_NOISE * tf.minimum(tf.cast(step, tf.float32) / _GROWTH_STEPS, 1) ** 2
        return size * tf.random.stateless_truncated_normal([2, channels], [self.seed, step])
