"""What both networks are built from: the release's convolutions and its ways of matching sizes."""

from __future__ import annotations

import zlib
from typing import Any

import keras
import tensorflow as tf

# The smallest image side that leaves the networks something to look at.
MIN_IMAGE_SIDE = 32


class Network(keras.Model):
    """A network whose layers and variables carry the names of the 2017 release.

    Args:
        seed: decides the initial weights, together with each layer's name.
        name: the release's variable scope, such as "depth_net".
    """

    def __init__(self, seed: int, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.seed = seed
        self.release_layers: dict[str, keras.layers.Layer] = {}

    def conv(self, name: str, filters: int, size: int, stride: int = 1, activation: Any = "relu") -> keras.layers.Layer:
        """A convolution known to the release as `name`, such as "pose/cnv6"."""
        return self._add(keras.layers.Conv2D, name, filters, size, stride, activation)

    def upconv(self, name: str, filters: int, size: int) -> keras.layers.Layer:
        """A transposed convolution that doubles the image's sides."""
        return self._add(keras.layers.Conv2DTranspose, name, filters, size, 2, "relu")

    def _add(self, kind: Any, name: str, filters: int, size: int, stride: int, activation: Any) -> keras.layers.Layer:
        layer = kind(
            filters,
            size,
            strides=stride,
            padding="same",
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(zlib.crc32(name.encode()) + self.seed),
            name=name.split("/")[-1],
        )
        self.release_layers[name] = layer
        return layer

    def release_variables(self) -> dict[str, tf.Variable]:
        """The network's tf.Variables under the release's names, such as "depth_net/cnv1/weights"."""
        return {
            f"{self.name}/{name}/{kind}": _tf_variable(variable)
            for name, layer in self.release_layers.items()
            for kind, variable in (("weights", layer.kernel), ("biases", layer.bias))
        }

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "name": self.name}


def _tf_variable(variable: Any) -> tf.Variable:
    """The TensorFlow variable itself: Keras 3 wraps it, Keras 2 does not."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def crop_like(features: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Fits doubled features [B, 2h, 2w, C] to the sides of `reference`, 2h or 2h-1 and 2w or 2w-1."""
    # Parity: the release's nearest resizing from 2n to 2n-1 rows picks row i for every i, which is this cut
    # (test_layers.py::test_crop_like_is_legacy_nearest_resizing).
    return features[:, : reference.shape[1], : reference.shape[2]]


def resize_bilinear(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes [B, h, w, C] to [B, height, width, C]."""
    # Parity: the legacy kind, without half-pixel centres (test_disp_net.py::test_golden).
    return tf.raw_ops.ResizeBilinear(images=images, size=[height, width])


def check_images(name: str, images: tf.Tensor, channels: int) -> None:
    """Raises ValueError unless `images` is [B, H, W, channels] with sides of at least 32 pixels known in advance."""
    shape = images.shape
    fits = shape.rank == 4 and shape[3] == channels and all(side and side >= MIN_IMAGE_SIDE for side in shape[1:3])
    if not fits:
        raise ValueError(f"{name} must be [B, H, W, {channels}] with H and W at least {MIN_IMAGE_SIDE}, got {shape}")
