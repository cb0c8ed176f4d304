"""Measures of a training step by which `watchdogs` tells a healthy one from a collapse."""

from __future__ import annotations

import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.losses.explainability import explainability
from sfmlearner_tf.losses.view import View
from sfmlearner_tf.watchdogs import READINGS

# The reading that is no mean over the batch.
GRADIENT_NORM = "gradient_norm"
OF_VIEW = tuple(name for name in READINGS if name != GRADIENT_NORM)
# Frames that differ by less than this on average, in grey levels of 255, are taken for the same picture.
_SAME_PICTURE = 0.5


def measure(batch: Batch, view: View, poses: tf.Tensor) -> dict[str, tf.Tensor]:
    """The readings of one step that are means over the batch, scalars: all of `watchdogs.READINGS` but one.

    Args:
        batch: with images uint8.
        view: of the finest scale.
        poses: [B, N, 6].
    """
    log_disparity = tf.math.log(view.disparity)
    third = log_disparity.shape[1] // 3
    translations, rotations = tf.split(poses, 2, axis=-1)
    target = tf.cast(tf.tile(batch.target, [1, 1, 1, view.num_sources]), tf.float32)
    differences = tf.reduce_mean(tf.abs(tf.cast(batch.sources, tf.float32) - target), axis=[1, 2, 3])
    has_masks = view.mask_logits is not None
    return {
        # Standard deviation over each image.
        "depth_spread": tf.reduce_mean(tf.math.reduce_std(log_disparity, axis=[1, 2, 3])),
        # How much nearer the lowest third of the image is than the highest: the ground is below.
        "bottom_nearness": tf.reduce_mean(log_disparity[:, -third:]) - tf.reduce_mean(log_disparity[:, :third]),
        # As a share of the (harmonic) mean depth, for its unit is arbitrary.
        "translation": tf.reduce_mean(tf.norm(translations, axis=-1)) * tf.reduce_mean(view.disparity),
        "rotation_rad": tf.reduce_mean(tf.norm(rotations, axis=-1)),
        "in_view": tf.reduce_mean(view.in_view),
        "mask": tf.reduce_mean(explainability(view.mask_logits)) if has_masks else tf.ones([]),
        "identical_frames": tf.reduce_mean(tf.cast(differences < _SAME_PICTURE, tf.float32)),
    }
