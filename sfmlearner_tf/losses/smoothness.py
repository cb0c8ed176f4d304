"""How rough disparity is: by second-order differences (paper section 3.4), or by first-order ones away from edges."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View


def smoothness_loss(views: Sequence[View], edge_aware: bool = False, normalized: bool = False) -> list[Mean]:
    """The roughness of disparity at each scale s, divided by 2**s, summed over the frames that have disparity.

    Args:
        edge_aware: `edge_aware_roughness` in place of `roughness`.
        normalized: take disparity over its mean, so that the loss does not reward shrinking it.
    """
    means = []
    for view in views:
        disparity = normalize_disparity(view.disparity) if normalized else view.disparity
        parts = edge_aware_roughness(disparity, view.target) if edge_aware else roughness(disparity)
        means += [
            mean._replace(total=mean.total / 2**view.scale).summed_over(view.num_targets)
            for mean in map(Mean.of, parts)
        ]
    return means


def roughness(disparity: tf.Tensor) -> list[tf.Tensor]:
    """Absolute second differences along xx, xy, yx and yy of a disparity [B, H, W, 1] (section 3.4)."""
    seconds = [second for first in reversed(differences(disparity)) for second in differences(first)]
    return [tf.abs(second) for second in seconds]


def edge_aware_roughness(disparity: tf.Tensor, image: tf.Tensor) -> list[tf.Tensor]:
    """Absolute first differences along y and x of a disparity [B, H, W, 1].

    Each is damped by exp(-|difference of the image in [0, 1]|), so that depth may jump where colour does (Godard et
    al., CVPR 2017, equation 3). The image [B, H, W, 3] is in [-1, 1].
    """
    edges = [tf.reduce_mean(tf.abs(edge), axis=-1, keepdims=True) / 2 for edge in differences(image)]
    return [tf.abs(first) * tf.exp(-edge) for first, edge in zip(differences(disparity), edges)]


def normalize_disparity(disparity: tf.Tensor) -> tf.Tensor:
    """Each disparity [B, H, W, 1] over its mean."""
    return disparity / tf.reduce_mean(disparity, axis=[1, 2], keepdims=True)


def differences(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The differences of neighbours along y and x of [B, H, W, C]."""
    # tf.slice, because its gradient is a padding, several times faster than that of values[:, 1:].
    height, width = values.shape[1] - 1, values.shape[2] - 1
    above, below = (tf.slice(values, [0, row, 0, 0], [-1, height, -1, -1]) for row in (0, 1))
    left, right = (tf.slice(values, [0, 0, column, 0], [-1, -1, width, -1]) for column in (0, 1))
    return below - above, right - left
