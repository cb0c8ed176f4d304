"""DispNet: one image in, its disparity at four scales out (paper section 3.5, figure 4a)."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from sfmlearner_tf.networks.layers import Network, check_images, crop_like, resize_bilinear

# Parity: the code of the release; the paper prints a smallest disparity of 0.1.
DISP_SCALING = 10.0
MIN_DISP = 0.01

# (channels, kernel size) of cnv1..cnv7 and of upcnv1..upcnv7.
_ENCODER = ((32, 7), (64, 5), (128, 3), (256, 3), (512, 3), (512, 3), (512, 3))
_DECODER = ((16, 3), (32, 3), (64, 3), (128, 3), (256, 3), (512, 3), (512, 3))
_NUM_SCALES = 4


class DispNet(Network):
    """The single-view depth network, 31,596,900 parameters.

    Args:
        seed: decides the initial weights.
        min_disp: the smallest disparity, so 1/min_disp is the largest depth.
    """

    def __init__(self, seed: int = 8964, min_disp: float = MIN_DISP, name: str = "depth_net", **kwargs: Any) -> None:
        super().__init__(seed, name, **kwargs)
        self.min_disp = min_disp
        self.encoder = [
            (self.conv(f"cnv{i}", channels, size, 2), self.conv(f"cnv{i}b", channels, size))
            for i, (channels, size) in enumerate(_ENCODER, start=1)
        ]
        self.decoder = [
            (self.upconv(f"upcnv{i}", channels, size), self.conv(f"icnv{i}", channels, size))
            for i, (channels, size) in enumerate(_DECODER, start=1)
        ]
        self.disparity = [self.conv(f"disp{i}", 1, 3, activation="sigmoid") for i in range(1, _NUM_SCALES + 1)]

    def call(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Predicts disparity.

        Args:
            images: [B, H, W, 3] in [-1, 1]; sides of at least 32.

        Returns:
            4 of [B, ceil(H/2^s), ceil(W/2^s), 1] for s = 0..3, in [min_disp, 10 + min_disp]; depth is
            1/disparity.

        Raises:
            ValueError: images of another shape.
        """
        check_images("images", images, 3)
        skips = [images]
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
                parts.append(resize_bilinear(disparities[-1], skip.shape[1], skip.shape[2]))
            features = merge(tf.concat(parts, axis=-1))
            if scale < _NUM_SCALES:
                disparities.append(DISP_SCALING * self.disparity[scale](features) + self.min_disp)
        return tuple(reversed(disparities))

    def start_from(self, disparity: float) -> None:
        """Makes the untrained network predict about this `disparity`, within (min_disp, 10 + min_disp), everywhere."""
        share = (disparity - self.min_disp) / DISP_SCALING
        for head in self.disparity:
            head.bias.assign([math.log(share / (1 - share))])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "min_disp": self.min_disp}
