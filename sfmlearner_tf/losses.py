"""View synthesis as supervision: the objective and its three terms (paper sections 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sfmlearner_tf import geometry
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.sampler import projective_inverse_warp


class Objective(NamedTuple):
    """The weighted terms, scalars, and what they were made from; scales run from the finest on."""

    pixel: tf.Tensor
    smooth: tf.Tensor
    explain: tf.Tensor
    masks: tuple[tf.Tensor, ...]  # [B, h, w, N] in [0, 1], or () without masks
    projected: tuple[tf.Tensor, ...]  # [B, h, w, 3*N] in [-1, 1]

    def losses(self) -> dict[str, tf.Tensor]:
        """The terms and their sum, by name."""
        total = self.pixel + self.smooth + self.explain
        return {"total": total, "pixel": self.pixel, "smooth": self.smooth, "explain": self.explain}


def compute_objective(
    config: TrainConfig,
    target: tf.Tensor,
    sources: tf.Tensor,
    intrinsics: tf.Tensor,
    disparities: Sequence[tf.Tensor],
    poses: tf.Tensor,
    mask_logits: Sequence[tf.Tensor],
) -> Objective:
    """The objective over all scales (paper equation 5).

    Args:
        config: weights of the terms, number of scales, sampling kernel.
        target: [B, H, W, 3] in [-1, 1].
        sources: [B, H, W, 3*N] in [-1, 1], in temporal order.
        intrinsics: [B, 3, 3] at full size, pixels.
        disparities: S of [B, h, w, 1], from the finest scale on.
        poses: [B, N, 6], target to source.
        mask_logits: S of [B, h, w, 2*N], or empty to count every pixel fully.
    """
    full_height, full_width = target.shape[1:3]
    num_sources = poses.shape[1]
    # All sources go through one warp, stacked on the batch: fewer and larger operations.
    stacked_sources = stack_sources(sources, num_sources)
    stacked_poses = tf.concat(tf.unstack(poses, axis=1), axis=0)
    terms: dict[str, list[tf.Tensor]] = {"pixel": [], "smooth": [], "explain": [tf.zeros([], target.dtype)]}
    masks, projected = [], []
    for scale, disparity in enumerate(disparities[: config.num_scales]):
        height, width = disparity.shape[1:3]
        warped = projective_inverse_warp(
            resize_area(stacked_sources, height, width),
            tf.tile(1 / disparity[..., 0], [num_sources, 1, 1]),
            stacked_poses,
            tf.tile(
                geometry.scale_intrinsics(intrinsics, width / full_width, height / full_height), [num_sources, 1, 1]
            ),
            config.sampler,
        )
        projected.append(unstack_sources(warped, num_sources))
        # Parity: a pixel warped from outside the source is 0, mid-grey, and counts (paper equation 1).
        error = tf.abs(warped - tf.tile(resize_area(target, height, width), [num_sources, 1, 1, 1]))
        if mask_logits:
            mask = explainability(mask_logits[scale])
            masks.append(mask)
            error *= stack_sources(mask, num_sources)
            terms["explain"].append(config.explain_reg_weight * explainability_loss(mask_logits[scale]))
        terms["pixel"].append(num_sources * tf.reduce_mean(error))
        terms["smooth"].append(config.smooth_weight / 2**scale * smoothness_loss(disparity))
    return Objective(
        **{name: tf.add_n(values) for name, values in terms.items()}, masks=tuple(masks), projected=tuple(projected)
    )


def stack_sources(images: tf.Tensor, num_sources: int) -> tf.Tensor:
    """Moves sources from the channels to the batch: [B, H, W, N*C] to [N*B, H, W, C], all of a source together."""
    return tf.concat(tf.split(images, num_sources, axis=-1), axis=0)


def unstack_sources(images: tf.Tensor, num_sources: int) -> tf.Tensor:
    """Undoes `stack_sources`."""
    return tf.concat(tf.split(images, num_sources, axis=0), axis=-1)


def smoothness_loss(disparity: tf.Tensor) -> tf.Tensor:
    """Mean absolute second differences of [B, H, W, 1], summed over xx, xy, yx and yy (section 3.4); a scalar."""
    dy, dx = _differences(disparity[..., 0])
    return tf.add_n([tf.reduce_mean(tf.abs(second)) for first in (dx, dy) for second in _differences(first)])


def _differences(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The differences of neighbours along y and x of [B, H, W]."""
    # tf.slice, because its gradient is a padding, several times faster than that of values[:, 1:].
    batch, height, width = -1, values.shape[1] - 1, values.shape[2] - 1
    along_y = tf.slice(values, [0, 1, 0], [batch, height, -1]) - tf.slice(values, [0, 0, 0], [batch, height, -1])
    along_x = tf.slice(values, [0, 0, 1], [batch, -1, width]) - tf.slice(values, [0, 0, 0], [batch, -1, width])
    return along_y, along_x


def explainability(logits: tf.Tensor) -> tf.Tensor:
    """The share of each pixel that is explainable: [B, H, W, N] in [0, 1] from logits [B, H, W, 2*N]."""
    # The softmax over a pair of channels, of which the second is kept.
    return tf.sigmoid(logits[..., 1::2] - logits[..., ::2])


def explainability_loss(logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the masks with 1, averaged over pixels and summed over sources (section 3.3); a scalar."""
    cross_entropy = tf.nn.softplus(logits[..., ::2] - logits[..., 1::2])
    num_sources = logits.shape[-1] // 2
    return num_sources * tf.reduce_mean(cross_entropy)


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
