"""What pose networks share that see two frames at a time, in both orders if asked (as in Bian et al., NeurIPS 2019,
section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from sfmlearner_tf import run_config
from sfmlearner_tf.images import stack_sources
from sfmlearner_tf.networks.layers import check_images
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion
from sfmlearner_tf.networks.pose_network import POSE_SCALING, PoseNetwork

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig


class PairNetwork(PoseNetwork):
    """The camera's motion from the target to each of any number of sources.

    Args:
        both_orders: whether to predict the motion from each source to the target, too.
        num_sources, seed, name: see `PoseNetwork`.
        kwargs: `learn_intrinsics`, see there, and Keras's own.
    """

    def __init__(
        self,
        num_sources: int = 2,
        both_orders: bool = False,
        seed: int = 8964,
        name: str = "pose_exp_net",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_sources, seed, name, **kwargs)
        self.both_orders = both_orders

    def encode_pairs(self, pairs: tf.Tensor, training: bool | None) -> tf.Tensor:
        """The last features [B, h, w, C] of two frames [B, H, W, 6] in [-1, 1]; the heads make the motion from the
        first to the second of them, guessed at several positions of the image."""
        raise NotImplementedError

    def call(self, target: tf.Tensor, sources: tf.Tensor, training: bool | None = None) -> Motion | ExtendedMotion:
        """Predicts the motion from the target to each source.

        Args:
            target: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            sources: [B, H, W, 3*N] in [-1, 1].
            training: for networks that differ in training.

        Returns:
            A `Motion`, with both_orders or learn_intrinsics an `ExtendedMotion`.

        Raises:
            ValueError: images of another shape.
        """
        check_images("target", target, 3)
        check_images("sources", sources, 3 * self.num_sources)
        sources = tf.cast(stack_sources(sources, self.num_sources), self.compute_dtype)
        targets = tf.cast(tf.tile(target, [self.num_sources, 1, 1, 1]), self.compute_dtype)
        orders = [tf.concat([targets, sources], axis=-1)]
        if self.both_orders:
            orders.append(tf.concat([sources, targets], axis=-1))
        features = self.encode_pairs(tf.concat(orders, axis=0), training)
        found = POSE_SCALING * tf.reduce_mean(self.pose_head(features), axis=[1, 2])
        poses, *reverse = (self._by_example(part) for part in tf.split(found, len(orders)))
        if not (self.both_orders or self.learn_intrinsics):
            return Motion(poses)
        intrinsics: tuple[tf.Tensor, ...] = ()
        if self.learn_intrinsics:
            # One camera took all frames of an example.
            of_pairs = tf.split(self.predict_intrinsics(features, target), len(orders) * self.num_sources)
            intrinsics = (tf.add_n(of_pairs) / len(of_pairs),)
        return ExtendedMotion(poses, (), tuple(reverse), intrinsics)

    def _by_example(self, stacked: tf.Tensor) -> tf.Tensor:
        """[N*B, 6], all of a source together, to [B, N, 6]."""
        return tf.stack(tf.split(stacked, self.num_sources), axis=1)

    def for_inference(self) -> Self:
        """The network in one order."""
        return self._copy(both_orders=False) if self.both_orders else self

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "both_orders": self.both_orders}

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        return cls(
            config.num_sources,
            config.both_directions,
            config.seed,
            learn_intrinsics=config.learn_intrinsics,
            dtype=config.dtype_policy,
        )

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        options, config = super().options_of_checkpoint(path), run_config.read_beside(path)
        return {**options, "num_sources": config.num_sources} if config else options
