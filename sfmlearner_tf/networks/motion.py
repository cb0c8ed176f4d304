"""What a pose network predicts."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from sfmlearner_tf.images import stack_sources


class Motion(NamedTuple):
    """The camera's motion from the target to each source.

    poses: [B, N, 6] as (tx, ty, tz, rx, ry, rz); translation in the unit of depth, angles in radians.
    mask_logits: S of [B, h, w, 2*N] from the finest scale on, or () without masks: of channels 2i and 2i+1 the softmax
        gives the second as the share of source i that is explainable.
    """

    poses: tf.Tensor
    mask_logits: tuple[tf.Tensor, ...] = ()


class ObjectMotion(NamedTuple):
    """How whole objects move, in the frame of the target's camera.

    poses: [B, K, N, 6], from the target to each source, of the objects that are 1 to K in `numbers`.
    numbers: uint8 [B, H, W, 1 + N], which object each pixel is of, in the target and then in the sources; 0 for none.
    height: a scalar, that of all objects, in the unit of depth.
    """

    poses: tf.Tensor
    numbers: tf.Tensor
    height: tf.Tensor


class ExtendedMotion(NamedTuple):
    """A `Motion` with what options beyond the release's add to it.

    poses, mask_logits: as in `Motion`.
    reverse_poses: ([B, N, 6],), from each source to the target, of a network that sees each pair of frames in both
        orders, else ().
    intrinsics: ([B, 3, 3],), pixels of the images, of a network that learns them, else ().
    fields: of a network that learns them, how points of the target move beside the camera's motion, in the unit of its
        translation: [N*B, H, W, 3], all of a source together; with reverse_poses also those of the sources; else ().
    objects: of a run that learns them, the motions of whole objects, else ().
    """

    poses: tf.Tensor
    mask_logits: tuple[tf.Tensor, ...]
    reverse_poses: tuple[tf.Tensor, ...] = ()
    intrinsics: tuple[tf.Tensor, ...] = ()
    fields: tuple[tf.Tensor, ...] = ()
    objects: tuple[ObjectMotion, ...] = ()

    def confined_to(self, objects: tf.Tensor) -> ExtendedMotion:
        """The motion in which nothing but objects moves by itself.

        Args:
            objects: [B, H, W, 1 + N], of the target and then of the sources, 0 where there is no object.
        """
        masks = tf.split(tf.cast(objects > 0, self.poses.dtype), [1, self.poses.shape[1]], axis=-1)
        by_frame = (tf.tile(masks[0], [self.poses.shape[1], 1, 1, 1]), stack_sources(masks[1], self.poses.shape[1]))
        return self._replace(fields=tuple(field * mask for field, mask in zip(self.fields, by_frame)))
