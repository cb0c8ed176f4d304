"""How whole objects move: what each network sees of them, and by how much that moves pixels (Casser et al., AAAI 2019,
"Depth Prediction Without the Sensors")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.losses.view import make_views
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion, ObjectMotion

if TYPE_CHECKING:
    from sfmlearner_tf.networks.object_motion import ObjectMotionNet


def blank_objects(images: Batch) -> Batch:
    """The frames in mid-grey wherever any of them has an object, so that nothing but the camera moves in them.

    Args:
        images: in [-1, 1], with the extra "objects".
    """
    free = tf.reduce_all(images.extras["objects"] == 0, axis=-1, keepdims=True)
    free = tf.cast(free, images.target.dtype)
    return images._replace(target=free * images.target, sources=free * images.sources)


def find_object_motion(
    network: ObjectMotionNet, images: Batch, disparity: tf.Tensor, motion: Motion | ExtendedMotion, count: int
) -> ExtendedMotion:
    """Adds the motion of the objects 1 to `count` to that of the camera.

    The network sees each object in the target, and in the sources warped into it as if nothing moved; no gradient goes
    back through that warp.

    Args:
        images: in [-1, 1], with the extra "objects".
        disparity: [B, H, W, 1] of the target.
    """
    (still,) = make_views(images, [disparity], motion)
    numbers = images.extras["objects"]
    numbers = tf.where(numbers <= count, numbers, tf.zeros_like(numbers))
    masks = tf.one_hot(numbers, count + 1, dtype=disparity.dtype)[..., 1:]
    in_target, *in_sources = tf.unstack(masks, axis=3)
    warped_masks = tf.stop_gradient(still.sample(tf.concat(in_sources, axis=0)))
    masks = tf.concat([in_target, warped_masks], axis=0)
    poses = network.see_objects(images.target, tf.stop_gradient(still.warped), masks, count)
    whole = motion if isinstance(motion, ExtendedMotion) else ExtendedMotion(*motion)
    return whole._replace(objects=(ObjectMotion(poses, numbers, network.height),))
