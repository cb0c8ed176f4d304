"""Random scaling, cropping and mirroring, of images, intrinsics and extras alike.

All of it follows from (seed, step), so that a stop and a fresh start at some step change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.data.extras import EXTRAS

# Augmentation enlarges by up to this much before it crops.
MAX_SCALING = 1.15
# One stream of random numbers for each purpose; the first is that of the order of the data.
ORDER, _SCALING, _CROP, _FLIP = 0, 1, 2, 3


@dataclass(frozen=True)
class Share:
    """Which part of each batch is read: the one at `index`, from 0 on, of `count` equal ones."""

    index: int
    count: int


WHOLE = Share(0, 1)


def augment(batch: Batch, seed: int, step: tf.Tensor) -> Batch:
    """Random scaling and cropping, the same for the whole batch, as the release does (paper section 4).

    Returns:
        A batch of the same shapes, cut out of an enlargement by 1 to 1.15 (each side on its own), with its intrinsics.
    """
    in_size = tf.shape(batch.target)[1:3]
    scaling = tf.random.stateless_uniform([2], random_stream(seed, step, _SCALING), 1.0, MAX_SCALING)  # y, x
    out_size = tf.cast(tf.cast(in_size, tf.float32) * scaling, tf.int32)
    room = tf.cast(out_size - in_size + 1, tf.float32)
    offset = tf.cast(tf.random.stateless_uniform([2], random_stream(seed, step, _CROP)) * room, tf.int32)
    offset = tf.minimum(offset, out_size - in_size)
    return scale_and_crop(batch, scaling, out_size, offset)


def flip(batch: Batch, seed: int, step: tf.Tensor, share: Share = WHOLE, unknown_camera: bool = False) -> Batch:
    """Mirrors each example left to right with probability 1/2.

    The principal point follows: pixel centres have whole coordinates, so cx becomes W - 1 - cx.

    Args:
        share: the part of the whole batch that `batch` is.
        unknown_camera: change the sign of fx, too, for the intrinsics stand for what happens to pixels.
    """
    count, _, width, _ = tf.unstack(tf.shape(batch.target))
    drawn = tf.random.stateless_uniform([share.count * count, 1, 1], random_stream(seed, step, _FLIP))
    mirrored = drawn[share.index * count : (share.index + 1) * count] < 0.5
    intrinsics = batch.intrinsics
    flipped_cx = tf.cast(width - 1, intrinsics.dtype) - intrinsics[:, :1, 2:]
    first_row = tf.concat([intrinsics[:, :1, :2] * (-1 if unknown_camera else 1), flipped_cx], axis=2)
    flipped = tf.concat([first_row, intrinsics[:, 1:]], axis=1)

    def choose(images: tf.Tensor, _: str) -> tf.Tensor:
        # Whole images are copied, at a tenth of the time in which tf.where chooses pixel by pixel.
        both = tf.stack([images, tf.reverse(images, axis=[2])], axis=1)
        return tf.gather(both, tf.cast(mirrored[:, 0, 0], tf.int32), axis=1, batch_dims=1)

    return _map_images(batch, choose)._replace(intrinsics=tf.where(mirrored, flipped, intrinsics))


def scale_and_crop(batch: Batch, scaling: tf.Tensor, out_size: tf.Tensor, offset: tf.Tensor) -> Batch:
    """Resizes the images to `out_size` and cuts their first size out at `offset`; all of them as (y, x).

    The intrinsics are scaled by `scaling` and shifted by `offset`.
    """

    def resize_and_crop(images: tf.Tensor, method: str) -> tf.Tensor:
        resize = tf.raw_ops.ResizeArea if method == "area" else tf.raw_ops.ResizeNearestNeighbor
        options = {} if method == "area" else {"half_pixel_centers": True}
        scaled = resize(images=images, size=out_size, **options)
        # Parity: cut off, not rounded, to uint8 (test_batches.py::test_augmentation_equals_numpy).
        scaled = tf.cast(scaled, images.dtype)
        cropped = tf.slice(scaled, [0, offset[0], offset[1], 0], tf.shape(images))
        return tf.ensure_shape(cropped, images.shape)

    # Parity: the intrinsics take the drawn scaling, not that of the whole pixels (the same test).
    factors = tf.stack([scaling[1], scaling[0], 1.0])[:, tf.newaxis]
    shift = tf.cast(tf.stack([offset[1], offset[0], 0]), tf.float32)[:, tf.newaxis]
    third_column = tf.constant([[0.0, 0.0, 1.0]])
    return _map_images(batch, resize_and_crop)._replace(intrinsics=batch.intrinsics * factors - shift * third_column)


def _map_images(batch: Batch, change: Callable[[tf.Tensor, str], tf.Tensor]) -> Batch:
    """Changes all images of a batch; `change` is given each and how it is resized."""
    extras = {
        name: values if EXTRAS[name].resize == "none" else change(values, EXTRAS[name].resize)
        for name, values in batch.extras.items()
    }
    # Apart: three channels are resized at twice the speed, and joining and splitting pixels costs as much again.
    return batch._replace(target=change(batch.target, "area"), sources=change(batch.sources, "area"), extras=extras)


def random_stream(seed: int, step: tf.Tensor, purpose: int) -> tf.Tensor:
    """The seed [2] of one purpose at one step or epoch."""
    return tf.stack([tf.constant(seed * 4 + purpose, tf.int64), tf.cast(step, tf.int64)])
