"""Depth from a ResNet encoder and DispNet's kind of decoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sfmlearner_tf.networks.depth_network import DepthNetwork
from sfmlearner_tf.networks.layers import check_images
from sfmlearner_tf.networks.resnet import ResNetEncoder, ResNetNetwork

_DECODER = (16, 32, 64, 128, 256)


class ResNetDepth(ResNetNetwork, DepthNetwork):
    """What it takes and gives is `DispNet`'s; so are its arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoder = ResNetEncoder(self, self.LAYERS, 3)
        self.add_decoder(self.encoder.channels, _DECODER)

    def call(self, images: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, ...]:
        """Predicts disparity, see `DispNet.call`.

        Args:
            images: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            training: whether to normalise by the statistics of this batch, not those of the training so far.

        Raises:
            ValueError: images of another shape.
        """
        check_images("images", images, 3)
        images = tf.cast(images, self.compute_dtype)
        return self.decode([images, *self.encoder.encode(images, training)], training)


@keras.saving.register_keras_serializable("sfmlearner_tf")
class ResNet18Depth(ResNetDepth):
    """With a ResNet-18: 14,344,644 parameters."""

    LAYERS = 18


@keras.saving.register_keras_serializable("sfmlearner_tf")
class ResNet50Depth(ResNetDepth):
    """With a ResNet-50: 32,602,820 parameters."""

    LAYERS = 50
