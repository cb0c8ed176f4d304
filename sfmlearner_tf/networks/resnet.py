"""ResNet-18 and ResNet-50 (He et al., CVPR 2016) as encoders, with the layers of `keras.applications.ResNet50`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from sfmlearner_tf.errors import UserError, first_line
from sfmlearner_tf.networks.layers import Network

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig

# Blocks of the stages conv2 to conv5, and the channels of the features.
_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
_CHANNELS = {18: (64, 64, 128, 256, 512), 50: (64, 256, 512, 1024, 2048)}
# What keras.applications takes from images in [0, 255], blue, green, red, before its weights see them.
_IMAGENET_MEAN_BGR = np.array([103.939, 116.779, 123.68])


class ResNetEncoder:
    """Adds a ResNet's layers to a network, under "encoder/".

    Args:
        network: that gets the layers.
        layers: 18 or 50.
        in_channels: of its images.

    channels: of the features that `encode` gives.
    """

    def __init__(self, network: Network, layers: int, in_channels: int) -> None:
        self._network, self._layers, self._in_channels = network, layers, in_channels
        self.channels = _CHANNELS[layers]
        self._add("conv1", in_channels, 64, 7, 2)
        channels = 64
        for stage, (blocks, filters) in enumerate(zip(_BLOCKS[layers], self.channels[1:]), start=2):
            for block in range(1, blocks + 1):
                stride = 2 if block == 1 and stage > 2 else 1
                self._add_block(f"conv{stage}_block{block}", channels, filters, stride)
                channels = filters

    def encode(self, images: tf.Tensor, training: bool | None) -> list[tf.Tensor]:
        """The features of [B, H, W, in_channels] at 1/2, 1/4, 1/8, 1/16 and 1/32 of its sides, rounded up.

        Args:
            training: whether to normalise by the statistics of this batch, not those of the training so far.
        """
        features = [tf.nn.relu(self._apply("conv1", images, training))]
        hidden = tf.nn.max_pool2d(_pad(features[0], 1), 3, 2, "VALID")
        for stage, blocks in enumerate(_BLOCKS[self._layers], start=2):
            for block in range(1, blocks + 1):
                hidden = self._apply_block(f"conv{stage}_block{block}", hidden, training)
            features.append(hidden)
        return features

    def load(self, weights: str) -> None:
        """Takes the weights of `keras.applications.ResNet50`, for RGB images in [-1, 1].

        Several images on the channels share them.

        Args:
            weights: "imagenet", which the library downloads, or a file of such weights without the top.

        Raises:
            UserError: this is no ResNet-50, or there are no such weights.
        """
        if self._layers != 50:
            raise UserError(f"encoder_weights={weights}: there are none for resnet{self._layers}, only for resnet50")
        if weights != "imagenet" and not os.path.isfile(weights):
            raise UserError(f"encoder_weights={weights}: expected none, imagenet or a file, found no such file")
        try:
            model = keras.applications.ResNet50(include_top=False, weights=weights, input_shape=(None, None, 3))
        # Anything at all: no network, a file of something else.
        except Exception as error:
            raise UserError(f"encoder_weights={weights}: cannot be loaded; {first_line(error)}") from None
        self._network.build()
        for layer in model.layers:
            if layer.weights:
                values = layer.get_weights()
                if layer.name == "conv1_conv":
                    values = _for_our_images(values[0], values[1], self._in_channels // 3)
                self._network.named_layers[f"encoder/{layer.name}"].set_weights(values)

    def _add(self, name: str, in_channels: int, filters: int, size: int, stride: int = 1) -> None:
        """A convolution that pads nothing, and its normalisation."""
        network, policy = self._network, self._network.dtype_policy
        seed = network.name_and_seed(f"encoder/{name}_conv")
        conv = keras.layers.Conv2D(filters, size, stride, "valid", dtype=policy, **seed)
        network.add(f"encoder/{name}_conv", conv, in_channels)
        norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1.001e-5, dtype=policy, name=f"{name}_bn")
        network.add(f"encoder/{name}_bn", norm, filters)

    def _add_block(self, name: str, in_channels: int, filters: int, stride: int) -> None:
        if stride != 1 or in_channels != filters:
            self._add(f"{name}_0", in_channels, filters, 1, stride)
        if self._layers == 18:
            self._add(f"{name}_1", in_channels, filters, 3, stride)
            self._add(f"{name}_2", filters, filters, 3)
        else:
            self._add(f"{name}_1", in_channels, filters // 4, 1, stride)
            self._add(f"{name}_2", filters // 4, filters // 4, 3)
            self._add(f"{name}_3", filters // 4, filters, 1)

    def _apply(self, name: str, inputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        conv, norm = (self._network.named_layers[f"encoder/{name}_{part}"] for part in ("conv", "bn"))
        return norm(conv(_pad(inputs, conv.kernel_size[0] // 2)), training=training)

    def _apply_block(self, name: str, inputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        projects = f"encoder/{name}_0_conv" in self._network.named_layers
        shortcut = self._apply(f"{name}_0", inputs, training) if projects else inputs
        hidden, last = inputs, 2 if self._layers == 18 else 3
        for number in range(1, last):
            hidden = tf.nn.relu(self._apply(f"{name}_{number}", hidden, training))
        return tf.nn.relu(shortcut + self._apply(f"{name}_{last}", hidden, training))


class ResNetNetwork(Network):
    """What networks with such an encoder share: it may start from other weights.

    LAYERS: of the encoder, 18 or 50.
    """

    LAYERS: ClassVar[int]
    encoder: ResNetEncoder

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        network = super().from_train_config(config)
        if config.starts_from_encoder_weights:
            network.encoder.load(config.encoder_weights)
        return network


def _for_our_images(kernel: np.ndarray, bias: np.ndarray, images: int) -> list[Any]:
    """Kernel and bias for RGB in [-1, 1] in place of BGR in [0, 255] less its mean; shared by several images."""
    shift = np.tensordot(kernel.sum(axis=(0, 1)), 127.5 - _IMAGENET_MEAN_BGR, axes=(0, 0))
    return [np.concatenate([127.5 * kernel[:, :, ::-1]] * images, axis=2) / images, bias + shift]


def _pad(images: tf.Tensor, width: int) -> tf.Tensor:
    return tf.pad(images, [[0, 0], [width, width], [width, width], [0, 0]]) if width else images
