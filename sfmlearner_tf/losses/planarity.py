"""How far surfaces are from planes in 3-D, away from edges, and what edges cost (Yang et al., "LEGO: Learning Edge with
Geometry all at Once by Watching Videos", CVPR 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.geometry import pixel2cam
from sfmlearner_tf.losses.smoothness import differences
from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View
from sfmlearner_tf.normals import depth_to_normals

# How fast an edge, 0 to 1, or a difference of colour in [0, 1], lets go of what is on both sides of it.
_ALPHA = 5.0
# Squared; neighbouring points are no nearer, in units of their depth.
_TINY = 1e-12


def planarity_loss(views: Sequence[View]) -> list[Mean]:
    """By how much the direction of the surface changes from pixel to pixel along rows and columns, times exp(-alpha E).

    E is the learned edge, without any the difference of colour. The direction is that of the step from a pixel's point
    to the next one's: it stays the same exactly where they lie on a plane. The slope of depth over the way sideways,
    as it is published, says the same, but is infinite on a road that is seen along.

    At each scale s, divided by 2**s, summed over the frames that have disparity.
    """
    means = []
    for view in views:
        depth = 1 / view.disparity
        points = tf.linalg.matrix_transpose(pixel2cam(depth[..., 0], view.intrinsics))
        points = tf.reshape(points, tf.concat([tf.shape(depth)[:3], [3]], axis=0))
        parts = []
        for axis, step in enumerate(differences(points)):
            # In units of depth, so that its scale is nothing to rounding.
            step /= _cut(depth, axis, 0, 1)
            length = tf.maximum(tf.reduce_sum(step**2, axis=-1, keepdims=True), _TINY)
            change = differences(step * tf.math.rsqrt(length))[axis]
            parts.append(tf.reduce_sum(tf.abs(change), axis=-1, keepdims=True) * _away_from_edges(view)[axis])
        means += _weigh(parts, view)
    return means


def normal_smoothness_loss(views: Sequence[View]) -> list[Mean]:
    """Second differences of the normals along rows and columns, times exp(-alpha E); see `planarity_loss`."""
    means = []
    for view in views:
        normals = depth_to_normals(1 / view.disparity[..., 0], view.intrinsics, view.target)
        parts = []
        for axis, first in enumerate(differences(normals)):
            change = tf.reduce_sum(tf.abs(differences(first)[axis]), axis=-1, keepdims=True)
            parts.append(change * _away_from_edges(view)[axis])
        means += _weigh(parts, view)
    return means


def edge_loss(views: Sequence[View]) -> list[Mean]:
    """E^2, the mean at each scale s, divided by 2**s: keeps edges from being everywhere."""
    return [mean for view in views if view.edges is not None for mean in _weigh([view.edges**2], view)]


def _away_from_edges(view: View) -> list[tf.Tensor]:
    """exp(-alpha E) along columns and along rows: [B, h-2, w, 1] and [B, h, w-2, 1]."""
    if view.edges is not None:
        edges = [_cut(view.edges, axis, 1, 1) for axis in (0, 1)]
    else:
        firsts = [tf.reduce_mean(tf.abs(first), axis=-1, keepdims=True) / 2 for first in differences(view.target)]
        edges = [(_cut(first, axis, 0, 1) + _cut(first, axis, 1, 0)) / 2 for axis, first in enumerate(firsts)]
    return [tf.exp(-_ALPHA * edge) for edge in edges]


def _cut(values: tf.Tensor, axis: int, before: int, after: int) -> tf.Tensor:
    """[B, h, w, C] without so many rows (axis 0) or columns (1) before and after."""
    starts, sizes = [0, 0, 0, 0], [-1, *values.shape[1:3], -1]
    starts[1 + axis] = before
    sizes[1 + axis] -= before + after
    return tf.slice(values, starts, sizes)


def _weigh(parts: Sequence[tf.Tensor], view: View) -> list[Mean]:
    means = map(Mean.of, parts)
    return [mean._replace(total=mean.total / 2**view.scale).summed_over(view.num_targets) for mean in means]
