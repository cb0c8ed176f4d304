"""DispNet: one image in, its disparity at four scales out (paper section 3.5, figure 4a)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from sfmlearner_tf.networks.depth_network import MIN_DISP, DepthNetwork
from sfmlearner_tf.networks.layers import check_images

# (channels, kernel size) of cnv1..cnv7, and channels of upcnv1..upcnv7.
_ENCODER = ((32, 7), (64, 5), (128, 3), (256, 3), (512, 3), (512, 3), (512, 3))
_DECODER = (16, 32, 64, 128, 256, 512, 512)


@keras.saving.register_keras_serializable("sfmlearner_tf")
class DispNet(DepthNetwork):
    """The single-view depth network, 31,596,900 parameters.

    Args:
        seed: decides the initial weights.
        min_disp: the smallest disparity, so 1/min_disp is the largest depth.
        name: the release's variable scope.
        kwargs: `norm` and `parametrization`, see `DepthNetwork`, and Keras's own, such as `dtype="mixed_bfloat16"`.
    """

    def __init__(self, seed: int = 8964, min_disp: float = MIN_DISP, name: str = "depth_net", **kwargs: Any) -> None:
        super().__init__(seed, min_disp, name, **kwargs)
        in_channels = 3
        for i, (filters, size) in enumerate(_ENCODER, start=1):
            self.conv(f"cnv{i}", in_channels, filters, size, 2)
            self.conv(f"cnv{i}b", filters, filters, size)
            in_channels = filters
        self.add_decoder([filters for filters, _ in _ENCODER], _DECODER)

    def call(self, images: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, ...]:
        """Predicts disparity.

        Args:
            images: [B, H, W, 3] in [-1, 1]; sides of at least 32.
            training: whether the normalisation, if any, is randomised.

        Returns:
            4 of [B, ceil(H/2^s), ceil(W/2^s), 1] for s = 0..3, see `DepthNetwork.decode`; depth is 1/disparity.

        Raises:
            ValueError: images of another shape.
        """
        check_images("images", images, 3)
        skips = [tf.cast(images, self.compute_dtype)]
        for i in range(1, len(_ENCODER) + 1):
            strided = self.apply(f"cnv{i}", skips[-1], training)
            skips.append(self.apply(f"cnv{i}b", strided, training))
        return self.decode(skips, training)
