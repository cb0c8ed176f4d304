"""Keeps depth from becoming the same everywhere (Gordon et al., ICCV 2019, "Depth from Videos in the Wild")."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View

# Of the variance, so that constant depth has a finite loss and a gradient.
_LEAST_VARIANCE = 1e-9


def constant_depth_loss(views: Sequence[View]) -> list[Mean]:
    """One over the variance of depth over its mean, of each image at each scale, summed over the frames with depth.

    It grows without bound as depth becomes constant, and is next to nothing elsewhere: the published weight is 1e-6.
    """
    means = []
    for view in views:
        depth = 1 / view.disparity
        relative = depth / tf.reduce_mean(depth, axis=[1, 2, 3], keepdims=True)
        variance = tf.math.reduce_variance(relative, axis=[1, 2, 3])
        means.append(Mean.of(1 / (variance + _LEAST_VARIANCE)).summed_over(view.num_targets))
    return means
