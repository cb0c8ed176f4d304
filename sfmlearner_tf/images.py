"""Images as tensors: their range, their sizes, and sources on channels or on the batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def preprocess(images_u8: tf.Tensor) -> tf.Tensor:
    """From uint8 to float32 in [-1, 1].

    Raises:
        ValueError: images of another type.
    """
    if images_u8.dtype != tf.uint8:
        raise ValueError(f"images must be uint8, got {images_u8.dtype.name}")
    return tf.image.convert_image_dtype(images_u8, tf.float32) * 2 - 1


def stack_sources(images: tf.Tensor, num_sources: int) -> tf.Tensor:
    """Moves sources from the channels to the batch: [B, H, W, N*C] to [N*B, H, W, C], all of a source together."""
    return tf.concat(tf.split(images, num_sources, axis=-1), axis=0)


def unstack_sources(images: tf.Tensor, num_sources: int) -> tf.Tensor:
    """Undoes `stack_sources`."""
    return tf.concat(tf.split(images, num_sources, axis=0), axis=-1)


def resize(images: tf.Tensor, height: int, width: int, method: str) -> tf.Tensor:
    """Resizes [B, H, W, C] to [B, height, width, C] by a method of `extras.Extra`: "area", "nearest" or "none"."""
    if method == "none":
        return images
    return resize_area(images, height, width) if method == "area" else resize_nearest(images, height, width)


def resize_area(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes [B, H, W, C] to [B, height, width, C], each pixel the mean of the area it covers.

    The sizes must be known in advance. Unlike TensorFlow's own operation this one runs and compiles on accelerators.
    """
    full_height, full_width = images.shape[1:3]
    if full_height % height == 0 and full_width % width == 0:
        factors = [full_height // height, full_width // width]
        return images if factors == [1, 1] else tf.nn.avg_pool2d(images, factors, factors, "VALID")
    rows, columns = (
        tf.constant(area_weights(size, full), images.dtype)
        for size, full in ((height, full_height), (width, full_width))
    )
    return tf.einsum("hy,byxc,wx->bhwc", rows, images, columns)


def area_weights(size: int, full_size: int) -> np.ndarray:
    """The share that each of `full_size` pixels has in each of `size`: [size, full_size], rows sum to 1."""
    edges = np.arange(size + 1) * (full_size / size)
    pixels = np.arange(full_size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0) * (size / full_size)


def resize_nearest(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes [B, H, W, C] to [B, height, width, C], each pixel the one at the middle of the area it covers."""
    rows, columns = (
        ((np.arange(size) + 0.5) * full / size).astype(int)
        for size, full in ((height, images.shape[1]), (width, images.shape[2]))
    )
    return tf.gather(tf.gather(images, rows, axis=1), columns, axis=2)
