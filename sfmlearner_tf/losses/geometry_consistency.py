"""Depth of neighbouring frames that agrees, so that all frames share one scale (Bian et al., NeurIPS 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View


def geometry_consistency_loss(views: Sequence[View], occlusion_aware: bool = False) -> list[Mean]:
    """The mean over what is in view of how far the depths of two frames are apart, summed over their pairs, at each
    scale (Bian et al., equation 4).

    Args:
        occlusion_aware: over what is visible, see `View.visible`, in place of what is in view.
    """
    means = []
    for view in views:
        # A point behind the camera projects, mirrored, into the picture.
        valid = view.visible if occlusion_aware else view.in_view * tf.cast(view.z > 0, view.z.dtype)
        means.append(Mean.where(view.depth_mismatch, valid).summed_over(view.num_pairs))
    return means


def consistency_weight(view: View, has_gradient: bool) -> tf.Tensor:
    """1 where the depths of two frames agree, down to 0: [N*B, h, w, 1] (Bian et al., equation 7).

    It is small where things move or are hidden in the other frame.

    Args:
        has_gradient: whether depth and motion learn from it.
    """
    weight = 1 - view.depth_mismatch
    return weight if has_gradient else tf.stop_gradient(weight)
