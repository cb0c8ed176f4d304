"""PairNet: the release's pose network of one source, run for each source."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sfmlearner_tf.networks.pair_network import PairNetwork
from sfmlearner_tf.networks.pose_exp_net import ENCODER


@keras.saving.register_keras_serializable("sfmlearner_tf")
class PairNet(PairNetwork):
    """The layers of PoseExpNet(num_sources=1) under its names: 1,586,774 parameters, whatever the number of sources.

    Args:
        num_sources, both_orders, seed, name, kwargs: see `PairNetwork`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoder: list[keras.layers.Layer] = []
        in_channels = 6
        for i, (filters, size) in enumerate(ENCODER, start=1):
            self.encoder.append(self.conv(f"cnv{i}", in_channels, filters, size, 2))
            in_channels = filters
        self.encoder += [self.conv(f"pose/cnv{i}", in_channels, 256, 3, 2) for i in (6, 7)]
        self.add_decoders([filters for filters, _ in ENCODER] + [256, 256])

    def encode_pairs(self, pairs: tf.Tensor, training: bool | None) -> list[tf.Tensor]:
        features = [pairs]
        for layer in self.encoder:
            features.append(layer(features[-1]))
        return features[1:]
