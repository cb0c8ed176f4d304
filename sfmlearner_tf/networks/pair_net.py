"""PairNet: the camera's motion between two frames, for any number of sources and in both orders (as in Bian et al.,
NeurIPS 2019, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from sfmlearner_tf import run_config
from sfmlearner_tf.images import stack_sources
from sfmlearner_tf.networks.layers import Network, check_images
from sfmlearner_tf.networks.motion import Motion
from sfmlearner_tf.networks.pose_exp_net import ENCODER, POSE_SCALING

if TYPE_CHECKING:
    from sfmlearner_tf.config import TrainConfig


@keras.saving.register_keras_serializable("sfmlearner_tf")
class PairNet(Network):
    """The release's pose network of one source, run for each: 1,586,774 parameters, whatever the number of sources.

    Args:
        num_sources: source frames beside the target, at least 1.
        both_orders: whether to predict the motion from each source to the target, too.
        seed: decides the initial weights.
        name: the variable scope.
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.

    Raises:
        ValueError: num_sources below 1.
    """

    def __init__(
        self,
        num_sources: int = 2,
        both_orders: bool = False,
        seed: int = 8964,
        name: str = "pose_exp_net",
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, name, **kwargs)
        if num_sources < 1:
            raise ValueError(f"num_sources must be at least 1, got {num_sources}")
        self.num_sources = num_sources
        self.both_orders = both_orders
        # The layers of PoseExpNet(num_sources=1), under its names.
        self.encoder: list[keras.layers.Layer] = []
        in_channels = 6
        for i, (filters, size) in enumerate(ENCODER, start=1):
            self.encoder.append(self.conv(f"cnv{i}", in_channels, filters, size, 2))
            in_channels = filters
        self.encoder += [self.conv(f"pose/cnv{i}", in_channels, 256, 3, 2) for i in (6, 7)]
        self.pose_head = self.head("pose/pred", 256, 6, 1)

    def call(self, target: tf.Tensor, sources: tf.Tensor, training: bool | None = None) -> Motion:
        """Predicts the motion from the target to each source.

        Args:
            target: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            sources: [B, H, W, 3*N] in [-1, 1].
            training: without effect; for networks that differ in training.

        Returns:
            The poses [B, N, 6], and with both_orders the reverse poses.

        Raises:
            ValueError: images of another shape.
        """
        check_images("target", target, 3)
        check_images("sources", sources, 3 * self.num_sources)
        sources = tf.cast(stack_sources(sources, self.num_sources), self.compute_dtype)
        targets = tf.cast(tf.tile(target, [self.num_sources, 1, 1, 1]), self.compute_dtype)
        pairs = [tf.concat([targets, sources], axis=-1)]
        if self.both_orders:
            pairs.append(tf.concat([sources, targets], axis=-1))
        features = tf.concat(pairs, axis=0)
        for layer in self.encoder:
            features = layer(features)
        found = POSE_SCALING * tf.reduce_mean(self.pose_head(features), axis=[1, 2])
        poses = [self._by_example(part) for part in tf.split(found, len(pairs))]
        return Motion(poses[0], reverse_poses=poses[1] if self.both_orders else None)

    def _by_example(self, stacked: tf.Tensor) -> tf.Tensor:
        """[N*B, 6], all of a source together, to [B, N, 6]."""
        return tf.stack(tf.split(stacked, self.num_sources), axis=1)

    def for_inference(self) -> PairNet:
        """The network in one order; it shares no weights with this one."""
        copy = PairNet.from_config({**self.get_config(), "both_orders": False})
        weights = self.release_variables()
        for name, variable in copy.release_variables().items():
            variable.assign(weights[name])
        return copy

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_sources": self.num_sources, "both_orders": self.both_orders}

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> PairNet:
        return cls(config.num_sources, config.both_directions, config.seed, dtype=config.dtype_policy)

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        config = run_config.read_beside(path)
        return {"num_sources": config.num_sources} if config else {}
