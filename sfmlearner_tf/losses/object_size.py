"""What an object's size says of its depth (Casser et al., AAAI 2019, "Depth Prediction Without the Sensors")."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.images import resize_nearest
from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View


def object_size_loss(views: Sequence[View]) -> list[Mean]:
    """|D - fy p / h| / mean D, the mean over the pixels of objects, at full size.

    D is depth, its mean that of the image, h how many rows the object covers, and p the height of all objects, which is
    learned. Without it an object that drives along at the camera's speed may be at any distance.
    """
    means = []
    for view in views:
        if view.scale or view.objects is None:
            continue
        depth = 1 / view.disparity
        count, (height, width) = view.objects.poses.shape[1], view.disparity.shape[1:3]
        numbers = resize_nearest(view.objects.numbers[..., :1], height, width)[..., 0]
        is_object = tf.one_hot(numbers, count + 1, dtype=depth.dtype)[..., 1:]  # [B, h, w, K]
        focal_y = view.intrinsics[:, 1, 1, tf.newaxis]
        expected = focal_y * tf.cast(view.objects.height, depth.dtype) / tf.cast(_count_rows(is_object), depth.dtype)
        apart = tf.abs(depth - expected[:, tf.newaxis, tf.newaxis]) / tf.reduce_mean(depth, axis=[1, 2], keepdims=True)
        any_object = tf.reduce_sum(is_object, axis=-1, keepdims=True)
        means.append(Mean.where(tf.reduce_sum(apart * is_object, axis=-1, keepdims=True), any_object))
    return means


def _count_rows(is_object: tf.Tensor) -> tf.Tensor:
    """From the first to the last row of each object, at least 1: int [B, K]."""
    has_row = tf.reduce_max(is_object, axis=2) > 0
    height = is_object.shape[1]
    row = tf.range(height)[tf.newaxis, :, tf.newaxis]
    first = tf.reduce_min(tf.where(has_row, row, height), axis=1)
    last = tf.reduce_max(tf.where(has_row, row, -1), axis=1)
    return tf.maximum(last - first + 1, 1)
