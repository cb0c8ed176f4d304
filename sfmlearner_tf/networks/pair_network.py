"""What pose networks share that see two frames at a time, in both orders if asked (as in Bian et al., NeurIPS 2019,
section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from sfmlearner_tf import run_config
from sfmlearner_tf.images import stack_sources
from sfmlearner_tf.networks.layers import check_images
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion
from sfmlearner_tf.networks.motion_field import MotionFieldDecoder
from sfmlearner_tf.networks.pose_network import POSE_SCALING, PoseNetwork

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig


class PairNetwork(PoseNetwork):
    """The camera's motion from the target to each of any number of sources.

    Args:
        both_orders: whether to predict the motion from each source to the target, too.
        motion_field: whether to predict the motion of what moves by itself, see `MotionFieldDecoder`.
        num_sources, seed, name: see `PoseNetwork`.
        kwargs: `learn_intrinsics`, `focal_ratio` and `centred`, see there, and Keras's own.
    """

    def __init__(
        self,
        num_sources: int = 2,
        both_orders: bool = False,
        seed: int = 8964,
        name: str = "pose_exp_net",
        motion_field: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_sources, seed, name, **kwargs)
        self.both_orders = both_orders
        self.motion_field = motion_field

    def add_decoders(self, channels: Sequence[int]) -> None:
        """Adds what makes motion of the features that `encode_pairs` gives; `channels`: theirs."""
        self.add_heads(channels[-1], 6)
        if self.motion_field:
            self.field_decoder = MotionFieldDecoder(self, [6, *channels])

    def encode_pairs(self, pairs: tf.Tensor, training: bool | None) -> list[tf.Tensor]:
        """Features [B, h, w, C] of two frames [B, H, W, 6] in [-1, 1], at ever fewer pixels; of the last the heads make
        the motion from the first frame to the second, guessed at several positions of the image."""
        raise NotImplementedError

    def call(self, target: tf.Tensor, sources: tf.Tensor, training: bool | None = None) -> Motion | ExtendedMotion:
        """Predicts the motion from the target to each source.

        Args:
            target: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            sources: [B, H, W, 3*N] in [-1, 1].
            training: for networks that differ in training.

        Returns:
            A `Motion`, with both_orders, learn_intrinsics or motion_field an `ExtendedMotion`.

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
        pairs = tf.concat(orders, axis=0)
        features = self.encode_pairs(pairs, training)
        raw = tf.reduce_mean(self.pose_head(features[-1]), axis=[1, 2])
        poses, *reverse = (self._by_example(part) for part in tf.split(POSE_SCALING * raw, len(orders)))
        if not (self.both_orders or self.learn_intrinsics or self.motion_field):
            return Motion(poses)
        intrinsics: tuple[tf.Tensor, ...] = ()
        if self.learn_intrinsics:
            # One camera took all frames of an example.
            of_pairs = tf.split(self.predict_intrinsics(features[-1], target), len(orders) * self.num_sources)
            intrinsics = (tf.add_n(of_pairs) / len(of_pairs),)
        fields: tuple[tf.Tensor, ...] = ()
        if self.motion_field:
            field = POSE_SCALING * self.field_decoder.decode([pairs, *features], raw[:, :3])
            fields = tuple(tf.split(field, len(orders)))
        return ExtendedMotion(poses, (), tuple(reverse), intrinsics, fields)

    def _by_example(self, stacked: tf.Tensor) -> tf.Tensor:
        """[N*B, 6], all of a source together, to [B, N, 6]."""
        return tf.stack(tf.split(stacked, self.num_sources), axis=1)

    def for_inference(self) -> Self:
        """The network in one order, without a motion field."""
        is_plain = not (self.both_orders or self.motion_field)
        return self if is_plain else self.copy(both_orders=False, motion_field=False)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "both_orders": self.both_orders, "motion_field": self.motion_field}

    @classmethod
    def options_of_run(cls, config: TrainConfig) -> dict[str, Any]:
        return {"both_orders": config.both_directions, "motion_field": config.motion_field}

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        options, config = super().options_of_checkpoint(path), run_config.read_beside(path)
        return {**options, "num_sources": config.num_sources} if config else options
