"""The way there and the way back are inverse (Gordon et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View

# Of the squares that are divided by, so that no motion at all costs nothing.
_LEAST_SQUARE = 1e-12


def rotation_cycle_loss(views: Sequence[View]) -> list[Mean]:
    """|R' R - 1|^2 / (|R - 1|^2 + |R' - 1|^2) of the rotations R there and R' back, summed over the pairs.

    Args:
        views: of both directions.
    """
    there, back = (view for view in views if view.scale == 0)
    forth, home = there.src_T_tgt.rotation, back.src_T_tgt.rotation
    one = tf.eye(3, dtype=forth.dtype)
    apart, *moved = (tf.reduce_sum(matrix**2, axis=[1, 2]) for matrix in (home @ forth - one, forth - one, home - one))
    return [Mean.of(apart / (tf.add_n(moved) + _LEAST_SQUARE)).summed_over(there.num_pairs)]


def translation_cycle_loss(views: Sequence[View]) -> list[Mean]:
    """|R' t + t'|^2 / (|t|^2 + |t'|^2) of the translation t of each pixel there, and t' back, where it falls; R' is the
    rotation back. The mean over what is visible, summed over the pairs.

    Args:
        views: of both directions.
    """
    there, back = (view for view in views if view.scale == 0)
    forth, home = _translations(there), there.sample(_translations(back))
    apart = tf.einsum("nij,nhwj->nhwi", back.src_T_tgt.rotation, forth) + home
    apart, *moved = (tf.reduce_sum(vectors**2, axis=-1, keepdims=True) for vectors in (apart, forth, home))
    return [Mean.where(apart / (tf.add_n(moved) + _LEAST_SQUARE), there.visible).summed_over(there.num_pairs)]


def _translations(view: View) -> tf.Tensor:
    """How each point moves but for the rotation, [N*B, h, w, 3]: with the camera, and by itself."""
    camera = view.src_T_tgt.translation[:, tf.newaxis, tf.newaxis]
    if view.object_motion is None:
        return tf.broadcast_to(camera, tf.concat([tf.shape(view.z)[:3], [3]], axis=0))
    return camera + view.object_motion
