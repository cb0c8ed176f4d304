"""Explainability masks: the share of each pixel that the camera's motion explains (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View


def explainability_loss(views: Sequence[View], focal: bool = False) -> list[Mean]:
    """How far the masks are from 1, averaged over pixels and summed over sources, at each scale.

    Args:
        focal: see `distance_from_one`.
    """
    return [
        Mean.of(distance_from_one(view.mask_logits, focal)).summed_over(view.num_sources)
        for view in views
        if view.mask_logits is not None
    ]


def explainability(logits: tf.Tensor) -> tf.Tensor:
    """The share of each pixel that is explainable: [B, H, W, N] in [0, 1] from logits [B, H, W, 2*N]."""
    # The softmax over a pair of channels, of which the second is kept.
    return tf.sigmoid(logits[..., 1::2] - logits[..., ::2])


def distance_from_one(logits: tf.Tensor, focal: bool = False) -> tf.Tensor:
    """The cross-entropy of masks with 1 (section 3.3): [B, H, W, N] from logits [B, H, W, 2*N].

    Args:
        focal: damp it by (1 - mask)**2 where the mask is near 1 (Lin et al., ICCV 2017, equation 4).
    """
    differences = logits[..., ::2] - logits[..., 1::2]
    distance = tf.nn.softplus(differences)
    return distance * tf.sigmoid(differences) ** 2 if focal else distance
