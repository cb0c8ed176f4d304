"""The camera moves as far as was measured, so that depth is in metres (Guizilini et al., CVPR 2020, "3D Packing for
Self-Supervised Monocular Depth Estimation")."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View

# Of the squared length, so that no motion at all has a gradient.
_LEAST_SQUARE = 1e-12


def speed_loss(views: Sequence[View]) -> list[Mean]:
    """The absolute difference of the length of each source's translation from the extra "distances", [B, N], metres;
    the mean over pairs. Motion back to the target counts through what holds it to the motion there."""
    means = []
    for view in views:
        if view.scale == 0 and "distances" in view.extras:
            length = tf.sqrt(tf.reduce_sum(view.src_T_tgt.translation**2, axis=-1) + _LEAST_SQUARE)
            measured = tf.concat(tf.unstack(view.extras["distances"], axis=1), axis=0)
            means.append(Mean.of(tf.abs(length - tf.cast(measured, length.dtype))))
    return means
