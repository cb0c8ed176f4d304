"""Holds depth near what other weights predict."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.view import View


def anchor_loss(views: Sequence[View]) -> list[tf.Tensor]:
    """The absolute difference of log disparity from the anchor's, a map [B, h, w, 1] for each scale."""
    return [tf.abs(tf.math.log(view.disparity / view.anchor)) for view in views if view.anchor is not None]
