"""What keeps the motion of objects to objects: few of them move, and each moves as a whole (Li et al., CoRL 2020,
"Unsupervised Monocular Depth Learning in Dynamic Scenes")."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.smoothness import differences
from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View

# In the unit of depth; keeps what is divided by finite where nothing moves.
_LEAST_MOTION = 1e-6


def sparsity_loss(views: Sequence[View]) -> list[Mean]:
    """2 <|d|> sqrt(1 + |d| / <|d|>) of each component d of the objects' motion at full size, where <> is the mean over
    an image; summed over components and pairs. Much motion at few pixels costs less than a little everywhere."""
    means = []
    for view, motion in _finest(views):
        size = tf.abs(motion)
        usual = tf.reduce_mean(size, axis=[1, 2], keepdims=True) + _LEAST_MOTION
        cost = tf.reduce_sum(2 * usual * tf.sqrt(1 + size / usual), axis=-1)
        means.append(Mean.of(cost).summed_over(view.num_pairs))
    return means


def total_variation_loss(views: Sequence[View]) -> list[Mean]:
    """The absolute differences of the objects' motion between neighbours, over its root mean square in the image;
    summed over components, directions and pairs."""
    means = []
    for view, motion in _finest(views):
        mean_square = tf.reduce_mean(tf.reduce_sum(motion**2, axis=-1), axis=[1, 2]) + _LEAST_MOTION**2
        relative = motion / tf.sqrt(mean_square)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        for difference in differences(relative):
            means.append(Mean.of(tf.reduce_sum(tf.abs(difference), axis=-1)).summed_over(view.num_pairs))
    return means


def _finest(views: Sequence[View]) -> list[tuple[View, tf.Tensor]]:
    """The views at full size, with the motion of their objects."""
    return [(view, view.object_motion) for view in views if view.scale == 0 and view.object_motion is not None]
