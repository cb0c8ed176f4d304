"""The differentiable warp: bilinear sampling at projected coordinates (paper section 3.2, equation 2 and figure 3).

Two kernels compute the same: "native", made of plain TensorFlow operations, runs and compiles everywhere; "addons"
is the compiled `tfa.image.resampler`, where tensorflow-addons exists.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from sfmlearner_tf import geometry

KERNELS = ("native", "addons")


class Sampled(NamedTuple):
    """What was sampled, and where there was something to sample.

    values: [B, Ht, Wt, C], 0 outside the image. inside: [B, Ht, Wt, 1], 1 inside the image, else 0.
    """

    values: tf.Tensor
    inside: tf.Tensor


def bilinear_sampler(images: tf.Tensor, coords: tf.Tensor, kernel: str = "native") -> tf.Tensor:
    """Samples images at fractional pixel coordinates.

    Args:
        images: [B, Hs, Ws, C], floating point.
        coords: [B, Ht, Wt, 2] as (x, y) in pixels of `images`; (0, 0) is the centre of the top left pixel.
        kernel: "native" or "addons".

    Returns:
        [B, Ht, Wt, C]. A point samples to 0, with a zero gradient, unless 0 <= x < Ws-1 and 0 <= y < Hs-1;
        so does one that is NaN or infinite.

    Raises:
        ValueError: a tensor of another rank, or an unknown kernel.
        ImportError: "addons" without tensorflow-addons.

    Examples:
        Half way between the pixels 1 and 3, and outside of the image:

        >>> image = tf.constant([[1.0, 3.0], [5.0, 7.0]])[tf.newaxis, ..., tf.newaxis]
        >>> coords = tf.constant([[[[0.5, 0.0], [-1.0, 0.0]]]])
        >>> bilinear_sampler(image, coords).numpy().ravel().tolist()
        [2.0, 0.0]
    """
    images, coords = tf.convert_to_tensor(images), tf.convert_to_tensor(coords)
    if images.shape.rank != 4 or coords.shape.rank != 4 or coords.shape[-1] != 2:
        raise ValueError(
            f"images must be [B, Hs, Ws, C] and coords [B, Ht, Wt, 2], got {images.shape} and {coords.shape}"
        )
    return sample(images, coords[..., 0], coords[..., 1], kernel).values


def projective_inverse_warp(
    image: tf.Tensor, depth: tf.Tensor, pose: tf.Tensor, intrinsics: tf.Tensor, kernel: str = "native"
) -> tf.Tensor:
    """Synthesises the target view from a source image.

    Args:
        image: [B, H, W, C], the source view.
        depth: [B, H, W], camera z of the target view, arbitrary scale.
        pose: [B, 6], target to source, as (tx, ty, tz, rx, ry, rz) in the unit of depth and radians.
        intrinsics: [B, 3, 3] at this image size, pixels.
        kernel: see `bilinear_sampler`.

    Returns:
        [B, H, W, C], 0 where the target pixel falls outside the source image.

    Raises:
        ValueError: a tensor of another shape, or an unknown kernel.

    Examples:
        The source's camera stands a metre further left, so that it sees a wall 100 m ahead one pixel further right:

        >>> source = tf.reshape(tf.range(12.0), [1, 3, 4, 1])
        >>> wall, to_source = tf.fill([1, 3, 4], 100.0), tf.constant([[1.0, 0, 0, 0, 0, 0]])
        >>> camera = tf.constant([[[100.0, 0, 1.5], [0, 100.0, 1], [0, 0, 1]]])
        >>> projective_inverse_warp(source, wall, to_source, camera)[0, 0, :2, 0].numpy().round(3).tolist()
        [1.0, 2.0]
    """
    image, depth, pose, intrinsics = map(tf.convert_to_tensor, (image, depth, pose, intrinsics))
    if image.shape.rank != 4 or depth.shape.rank != 3 or pose.shape[1:] != [6] or intrinsics.shape[1:] != [3, 3]:
        raise ValueError(
            "image must be [B, H, W, C], depth [B, H, W], pose [B, 6] and intrinsics [B, 3, 3], "
            f"got {image.shape}, {depth.shape}, {pose.shape} and {intrinsics.shape}"
        )
    coords, _ = geometry.project_pixels(depth, geometry.Rigid3.from_vector(pose), intrinsics)
    x, y = (tf.reshape(row, tf.shape(depth)) for row in tf.unstack(coords, axis=1))
    return sample(image, x, y, kernel).values


def sample(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor, kernel: str = "native") -> Sampled:
    """`bilinear_sampler` with the coordinates x and y [B, Ht, Wt] apart; also says which points lie in the image."""
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    # Parity: the release takes its weights from clipped neighbours, so they cancel from the last row and column on
    # (test_sampler.py::test_border). A NaN fails every comparison.
    inside = (x >= 0) & (x < tf.cast(width - 1, x.dtype)) & (y >= 0) & (y < tf.cast(height - 1, y.dtype))
    x, y = (tf.where(inside, values, tf.zeros_like(values)) for values in (x, y))
    inside = tf.cast(inside, images.dtype)[..., tf.newaxis]
    if kernel == "native":
        return Sampled(_native_kernel(images, x, y) * inside, inside)
    return Sampled(load_addons_kernel()(images, tf.stack([x, y], axis=-1)) * inside, inside)


def _native_kernel(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Bilinear interpolation of [B, Hs, Ws, C] at x and y [B, Ht, Wt], which must lie in the image."""
    shape = tf.shape(images)
    batch, height, width, channels = shape[0], shape[1], shape[2], shape[3]
    left, top = tf.floor(x), tf.floor(y)
    right_share, lower_share = (tf.cast(fraction, images.dtype)[..., tf.newaxis] for fraction in (x - left, y - top))
    columns = [tf.cast(left, tf.int32), tf.minimum(tf.cast(left, tf.int32) + 1, width - 1)]
    rows = [tf.cast(top, tf.int32), tf.minimum(tf.cast(top, tf.int32) + 1, height - 1)]
    rows = [(row + tf.range(batch)[:, tf.newaxis, tf.newaxis] * height) * width for row in rows]
    pixels = tf.reshape(images, [-1, channels])
    upper_left, upper_right, lower_left, lower_right = (
        tf.gather(pixels, row + column) for row in rows for column in columns
    )
    upper = upper_left + right_share * (upper_right - upper_left)
    lower = lower_left + right_share * (lower_right - lower_left)
    return upper + lower_share * (lower - upper)


def load_addons_kernel() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The compiled `tfa.image.resampler`.

    Raises:
        ImportError: tensorflow-addons is not installed, or does not fit this TensorFlow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It announces its end of life on every import.
        import tensorflow_addons as tfa
    return tfa.image.resampler
