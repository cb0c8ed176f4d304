"""PoseExpNet: camera motion between a target frame and its sources, and where that motion explains them
(paper sections 3.3 and 3.5, figure 4b)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from sfmlearner_tf.networks.layers import Network, check_images, crop_like

# The network's raw output is scaled, so that training starts from almost no motion.
POSE_SCALING = 0.01

# (channels, kernel size) of cnv1..cnv5 and of upcnv1..upcnv5; cnv6 and cnv7 are the pose branch's.
_ENCODER = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3))
_MASK_DECODER = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3))
_NUM_SCALES = 4


class PoseExpNet(Network):
    """The motion network: 1,590,668 parameters for two sources, and with masks 1,048,512 more.

    Args:
        num_sources: source frames beside the target, at least 1.
        explain: whether to predict explainability masks.
        seed: decides the initial weights.

    Raises:
        ValueError: num_sources below 1.
    """

    def __init__(
        self, num_sources: int = 2, explain: bool = False, seed: int = 8964, name: str = "pose_exp_net", **kwargs: Any
    ) -> None:
        super().__init__(seed, name, **kwargs)
        if num_sources < 1:
            raise ValueError(f"num_sources must be at least 1, got {num_sources}")
        self.num_sources = num_sources
        self.explain = explain
        self.encoder = [self.conv(f"cnv{i}", *spec, 2) for i, spec in enumerate(_ENCODER, start=1)]
        self.pose_branch = [
            self.conv("pose/cnv6", 256, 3, 2),
            self.conv("pose/cnv7", 256, 3, 2),
            self.conv("pose/pred", 6 * num_sources, 1, activation=None),
        ]
        self.mask_decoder: list[Any] = []
        self.masks: list[Any] = []
        if explain:
            self.mask_decoder = [self.upconv(f"exp/upcnv{i}", *spec) for i, spec in enumerate(_MASK_DECODER, start=1)]
            self.masks = [
                self.conv(f"exp/mask{i}", 2 * num_sources, _MASK_DECODER[i - 1][1], activation=None)
                for i in range(1, _NUM_SCALES + 1)
            ]

    def call(self, target: tf.Tensor, sources: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Predicts the motion from the target to each source, and the masks' logits.

        Args:
            target: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            sources: [B, H, W, 3*N] in [-1, 1], in temporal order.

        Returns:
            poses [B, N, 6], target to source, as (tx, ty, tz, rx, ry, rz), radians; and the logits, 4 of
            [B, ceil(H/2^s), ceil(W/2^s), 2*N] for s = 0..3, or () without masks: of channels 2i and 2i+1 the softmax
            gives the second as the share of source i that is explainable.

        Raises:
            ValueError: images of another shape.
        """
        check_images("target", target, 3)
        check_images("sources", sources, 3 * self.num_sources)
        skips = [tf.concat([target, sources], axis=-1)]
        for layer in self.encoder:
            skips.append(layer(skips[-1]))

        motion = skips[-1]
        for layer in self.pose_branch:
            motion = layer(motion)
        # Parity: averaged over the image's positions, each a guess of its own.
        poses = POSE_SCALING * tf.reshape(tf.reduce_mean(motion, axis=[1, 2]), [-1, self.num_sources, 6])

        features = skips.pop()
        logits: list[tf.Tensor] = []
        for scale in reversed(range(len(self.mask_decoder))):
            features = crop_like(self.mask_decoder[scale](features), skips[scale])
            if scale < _NUM_SCALES:
                logits.append(self.masks[scale](features))
        return poses, tuple(reversed(logits))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_sources": self.num_sources, "explain": self.explain}
