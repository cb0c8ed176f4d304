"""PoseExpNet: camera motion between a target frame and its sources, and where that motion explains them
(paper sections 3.3 and 3.5, figure 4b)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from sfmlearner_tf import checkpoint
from sfmlearner_tf.networks.layers import check_images, crop_like
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion
from sfmlearner_tf.networks.pose_network import POSE_SCALING, PoseNetwork

if TYPE_CHECKING:
    from sfmlearner_tf.config import TrainConfig

# (channels, kernel size) of cnv1..cnv5 and of upcnv1..upcnv5; cnv6 and cnv7 are the pose branch's.
ENCODER = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3))
_MASK_DECODER = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3))
_NUM_SCALES = 4


@keras.saving.register_keras_serializable("sfmlearner_tf")
class PoseExpNet(PoseNetwork):
    """The motion network: 1,590,668 parameters for two sources, and with masks 1,048,512 more.

    Args:
        num_sources: source frames beside the target, at least 1.
        predict_masks: whether to predict explainability masks.
        seed: decides the initial weights.
        name: the release's variable scope.
        kwargs: `learn_intrinsics`, `focal_ratio` and `centred`, see `PoseNetwork`, and Keras's own, such as
            `dtype="mixed_bfloat16"`.

    Raises:
        ValueError: num_sources below 1.
    """

    def __init__(
        self,
        num_sources: int = 2,
        predict_masks: bool = False,
        seed: int = 8964,
        name: str = "pose_exp_net",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_sources, seed, name, **kwargs)
        self.predict_masks = predict_masks
        self.encoder: list[keras.layers.Layer] = []
        in_channels = 3 * (num_sources + 1)
        for i, (filters, size) in enumerate(ENCODER, start=1):
            self.encoder.append(self.conv(f"cnv{i}", in_channels, filters, size, 2))
            in_channels = filters
        self.pose_branch = [
            self.conv("pose/cnv6", in_channels, 256, 3, 2),
            self.conv("pose/cnv7", 256, 256, 3, 2),
        ]
        self.add_heads(256, 6 * num_sources)
        self.mask_decoder: list[keras.layers.Layer] = []
        self.mask_heads: list[keras.layers.Layer] = []
        if predict_masks:
            self._add_mask_decoder(in_channels)

    def _add_mask_decoder(self, in_channels: int) -> None:
        for i, (filters, size) in reversed(list(enumerate(_MASK_DECODER, start=1))):
            self.mask_decoder.insert(0, self.upconv(f"exp/upcnv{i}", in_channels, filters, size))
            in_channels = filters
        for i, (filters, size) in enumerate(_MASK_DECODER[:_NUM_SCALES], start=1):
            self.mask_heads.append(self.head(f"exp/mask{i}", filters, 2 * self.num_sources, size))

    def call(self, target: tf.Tensor, sources: tf.Tensor, training: bool | None = None) -> Motion | ExtendedMotion:
        """Predicts the motion from the target to each source, and the masks' logits.

        Args:
            target: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            sources: [B, H, W, 3*N] in [-1, 1], in temporal order.
            training: without effect; for networks that differ in training.

        Returns:
            The poses [B, N, 6], and with masks the logits, 4 of [B, ceil(H/2^s), ceil(W/2^s), 2*N] for s = 0..3; an
            `ExtendedMotion` where it learns the intrinsics.

        Raises:
            ValueError: images of another shape.
        """
        check_images("target", target, 3)
        check_images("sources", sources, 3 * self.num_sources)
        skips = [tf.concat([tf.cast(images, self.compute_dtype) for images in (target, sources)], axis=-1)]
        for layer in self.encoder:
            skips.append(layer(skips[-1]))

        last = skips[-1]
        for layer in self.pose_branch:
            last = layer(last)
        # Parity: averaged over the image's positions, each a guess of its own.
        raw = tf.reduce_mean(self.pose_head(last), axis=[1, 2])
        poses = POSE_SCALING * tf.reshape(raw, [-1, self.num_sources, 6])

        features = skips.pop()
        logits: list[tf.Tensor] = []
        for scale in reversed(range(len(self.mask_decoder))):
            features = crop_like(self.mask_decoder[scale](features), skips[scale])
            if scale < _NUM_SCALES:
                logits.append(self.mask_heads[scale](features))
        if self.learn_intrinsics:
            intrinsics = self.predict_intrinsics(last, target)
            return ExtendedMotion(poses, tuple(reversed(logits)), intrinsics=(intrinsics,))
        return Motion(poses, tuple(reversed(logits)))

    def for_inference(self) -> PoseExpNet:
        """The network without the mask decoder."""
        return self.copy(predict_masks=False) if self.predict_masks else self

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "predict_masks": self.predict_masks}

    @classmethod
    def options_of_run(cls, config: TrainConfig) -> dict[str, Any]:
        return {"predict_masks": config.learns_masks}

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        options = super().options_of_checkpoint(path)
        shape = checkpoint.list_shapes(path).get("pose_exp_net/cnv1/weights", [])
        return {**options, "num_sources": max(1, shape[2] // 3 - 1)} if len(shape) == 4 else options
