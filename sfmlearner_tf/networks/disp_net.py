"""DispNet: one image in, its disparity at four scales out (paper section 3.5, figure 4a)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from sfmlearner_tf import checkpoint
from sfmlearner_tf.networks.layers import Network, check_images, crop_like, image_sides, resize_bilinear

if TYPE_CHECKING:
    from sfmlearner_tf.config import TrainConfig

# Parity: the code of the release; the paper prints a smallest disparity of 0.1.
DISP_SCALING = 10.0
MIN_DISP = 0.01

# (channels, kernel size) of cnv1..cnv7 and of upcnv1..upcnv7.
_ENCODER = ((32, 7), (64, 5), (128, 3), (256, 3), (512, 3), (512, 3), (512, 3))
_DECODER = ((16, 3), (32, 3), (64, 3), (128, 3), (256, 3), (512, 3), (512, 3))
_NUM_SCALES = 4


@keras.saving.register_keras_serializable("sfmlearner_tf")
class DispNet(Network):
    """The single-view depth network, 31,596,900 parameters.

    Args:
        seed: decides the initial weights.
        min_disp: the smallest disparity, so 1/min_disp is the largest depth.
        name: the release's variable scope.
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.
    """

    def __init__(self, seed: int = 8964, min_disp: float = MIN_DISP, name: str = "depth_net", **kwargs: Any) -> None:
        super().__init__(seed, name, **kwargs)
        self.min_disp = min_disp
        self.encoder: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        in_channels = 3
        for i, (filters, size) in enumerate(_ENCODER, start=1):
            strided = self.conv(f"cnv{i}", in_channels, filters, size, 2)
            self.encoder.append((strided, self.conv(f"cnv{i}b", filters, filters, size)))
            in_channels = filters
        self.decoder: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        for i, (filters, size) in reversed(list(enumerate(_DECODER, start=1))):
            up = self.upconv(f"upcnv{i}", in_channels, filters, size)
            skip_channels = _ENCODER[i - 2][0] if i > 1 else 0
            has_disparity = i < _NUM_SCALES  # that of the next coarser scale
            merge = self.conv(f"icnv{i}", filters + skip_channels + has_disparity, filters, size)
            self.decoder.insert(0, (up, merge))
            in_channels = filters
        self.disparity_heads = [
            self.head(f"disp{i}", _DECODER[i - 1][0], 1, 3, "sigmoid") for i in range(1, _NUM_SCALES + 1)
        ]

    def call(self, images: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, ...]:
        """Predicts disparity.

        Args:
            images: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            training: without effect; for networks that differ in training.

        Returns:
            4 of [B, ceil(H/2^s), ceil(W/2^s), 1] for s = 0..3, in [min_disp, 10 + min_disp]; depth is
            1/disparity.

        Raises:
            ValueError: images of another shape.
        """
        check_images("images", images, 3)
        skips = [tf.cast(images, self.compute_dtype)]
        for strided, plain in self.encoder:
            skips.append(plain(strided(skips[-1])))

        features = skips.pop()
        disparities: list[tf.Tensor] = []
        for scale in reversed(range(len(self.decoder))):
            up, merge = self.decoder[scale]
            skip = skips[scale]
            parts = [crop_like(up(features), skip)]
            if scale > 0:
                parts.append(skip)
            if disparities:
                parts.append(tf.cast(resize_bilinear(disparities[-1], *image_sides(skip)), skip.dtype))
            features = merge(tf.concat(parts, axis=-1))
            if scale < _NUM_SCALES:
                disparities.append(DISP_SCALING * self.disparity_heads[scale](features) + self.min_disp)
        return tuple(reversed(disparities))

    def start_from(self, disparity: float) -> None:
        """Makes the untrained network predict about this `disparity`, within (min_disp, 10 + min_disp), everywhere."""
        self.build()
        share = (disparity - self.min_disp) / DISP_SCALING
        for head in self.disparity_heads:
            head.bias.assign([math.log(share / (1 - share))])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "min_disp": self.min_disp}

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> DispNet:
        network = cls(config.seed, config.min_disp, dtype=config.dtype_policy)
        if config.initial_disp:
            network.start_from(config.initial_disp)
        return network

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        return {"min_disp": checkpoint.read_min_disp(path, MIN_DISP)}
