"""A depth network of a few hundred weights, for tests in which the network itself does not matter."""

from __future__ import annotations

import keras

from sfmlearner_tf.networks.layers import Network


class SmallNet(Network):
    """With a layer that differs in training, which the release's networks have not."""

    def __init__(self, seed=0, name="depth_net", **kwargs):
        super().__init__(seed, name, **kwargs)
        self.features = self.conv("features", 3, 4, 3)
        self.norm = self.add("norm", keras.layers.BatchNormalization(), 4)
        self.disparity_head = self.head("disp", 4, 1, 3, "sigmoid")

    def call(self, images, training=None):
        finest = 0.5 + self.disparity_head(self.norm(self.features(images), training=training))
        return tuple(finest[:, :: 2**scale, :: 2**scale] for scale in range(4))

    @classmethod
    def from_train_config(cls, config):
        return cls(config.seed, dtype=config.dtype_policy)


class SteadyNet(SmallNet):
    """The same in training as in use."""

    def call(self, images, training=None):
        return super().call(images, training=False)
