"""The camera's motion between two frames from a ResNet encoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sfmlearner_tf.networks.pair_network import PairNetwork
from sfmlearner_tf.networks.resnet import ResNetEncoder, ResNetNetwork


class ResNetPose(ResNetNetwork, PairNetwork):
    """What it takes and gives is `PairNet`'s; so are its arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoder = ResNetEncoder(self, self.LAYERS, 6)
        self.squeeze = self.conv("pose/squeeze", self.encoder.channels[-1], 256, 1)
        self.hidden = self.conv("pose/hidden", 256, 256, 3)
        self.add_decoders([*self.encoder.channels[:-1], 256])

    def encode_pairs(self, pairs: tf.Tensor, training: bool | None) -> list[tf.Tensor]:
        *features, last = self.encoder.encode(pairs, training)
        return [*features, self.hidden(self.squeeze(last))]


@keras.saving.register_keras_serializable("sfmlearner_tf")
class ResNet18Pose(ResNetPose):
    """With a ResNet-18: 11,923,270 parameters."""

    LAYERS = 18


@keras.saving.register_keras_serializable("sfmlearner_tf")
class ResNet50Pose(ResNetPose):
    """With a ResNet-50: 24,713,286 parameters."""

    LAYERS = 50
