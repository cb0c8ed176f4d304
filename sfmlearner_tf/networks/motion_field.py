"""The motion of what moves by itself: a translation of its own at every pixel, beside the camera's (Gordon et al., ICCV
2019, "Depth from Videos in the Wild")."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.networks.layers import Network, image_sides, resize_bilinear

# Of the layer that looks at the features of a stage.
_FILTERS = 32


class MotionFieldDecoder:
    """Adds the layers of the decoder to a network, under "field/".

    Args:
        network: that gets the layers.
        channels: of the features at each stage, from the images themselves to the coarsest.
    """

    def __init__(self, network: Network, channels: Sequence[int]) -> None:
        self._stages = [
            (
                network.conv(f"field/look{i}", count + 3, _FILTERS, 3),
                network.head(f"field/refine{i}", _FILTERS, 3, 1),
            )
            for i, count in enumerate(channels)
        ]

    def decode(self, features: Sequence[tf.Tensor], translation: tf.Tensor) -> tf.Tensor:
        """The field [B, H, W, 3] by which points move beside the camera's motion, refined from coarse to fine.

        Args:
            features: the images [B, H, W, C], then features at ever fewer pixels.
            translation: [B, 3], that of the camera; what is refined is the sum of both.
        """
        camera = translation[:, tf.newaxis, tf.newaxis]
        field = tf.zeros_like(camera)
        for (look, refine), seen in zip(reversed(self._stages), reversed(features)):
            height, width = image_sides(seen)
            field = resize_bilinear(field, height, width)
            motion = tf.cast(camera + field, seen.dtype)
            field += refine(look(tf.concat([motion, seen], axis=-1)))
        return field
