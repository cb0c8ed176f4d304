"""View synthesis as supervision: the objective and its three terms (paper sections 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sfmlearner_tf import geometry
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.sampler import warp_and_view

# The constants of SSIM for images in [0, 1].
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
# Where fewer of the pixels are in view, the mean over them is held down instead of blown up.
_MIN_IN_VIEW = 0.05


class Objective(NamedTuple):
    """The weighted terms, scalars, and what they were made from; scales run from the finest on."""

    pixel: tf.Tensor
    smooth: tf.Tensor
    explain: tf.Tensor
    anchor: tf.Tensor | None  # None without anchors
    masks: tuple[tf.Tensor, ...]  # [B, h, w, N] in [0, 1], or () without masks
    projected: tuple[tf.Tensor, ...]  # [B, h, w, 3*N] in [-1, 1]
    in_view: tf.Tensor  # share of the pixels of the finest scale that the sources show, a scalar in [0, 1]

    def losses(self) -> dict[str, tf.Tensor]:
        """The terms and their sum, by name; anchor only where there are anchors."""
        total = self.pixel + self.smooth + self.explain
        terms = {"pixel": self.pixel, "smooth": self.smooth, "explain": self.explain}
        if self.anchor is None:
            return {"total": total, **terms}
        return {"total": total + self.anchor, **terms, "anchor": self.anchor}


def compute_objective(
    config: TrainConfig,
    target: tf.Tensor,
    sources: tf.Tensor,
    intrinsics: tf.Tensor,
    disparities: Sequence[tf.Tensor],
    poses: tf.Tensor,
    mask_logits: Sequence[tf.Tensor],
    anchors: Sequence[tf.Tensor] = (),
) -> Objective:
    """The objective over all scales (paper equation 5).

    Args:
        config: weights and kinds of the terms, number of scales, sampling kernel.
        target: [B, H, W, 3] in [-1, 1].
        sources: [B, H, W, 3*N] in [-1, 1], in temporal order.
        intrinsics: [B, 3, 3] at full size, pixels.
        disparities: S of [B, h, w, 1], from the finest scale on.
        poses: [B, N, 6], target to source.
        mask_logits: S of [B, h, w, 2*N], or empty to count every pixel fully.
        anchors: S of [B, h, w, 1], the disparities to hold to, or empty to hold to none.
    """
    full_height, full_width = target.shape[1:3]
    num_sources = poses.shape[1]
    # All sources go through one warp, stacked on the batch: fewer and larger operations.
    stacked_sources = stack_sources(sources, num_sources)
    stacked_poses = tf.concat(tf.unstack(poses, axis=1), axis=0)
    terms: dict[str, list[tf.Tensor]] = {"pixel": [], "smooth": [], "explain": [tf.zeros([], target.dtype)]}
    masks, projected, in_view = [], [], []
    for scale, disparity in enumerate(disparities[: config.num_scales]):
        height, width = disparity.shape[1:3]
        scaled_target = resize_area(target, height, width)
        warped, inside = warp_and_view(
            resize_area(stacked_sources, height, width),
            tf.tile(1 / disparity[..., 0], [num_sources, 1, 1]),
            stacked_poses,
            tf.tile(
                geometry.scale_intrinsics(intrinsics, width / full_width, height / full_height), [num_sources, 1, 1]
            ),
            config.sampler,
        )
        projected.append(unstack_sources(warped, num_sources))
        in_view.append(tf.reduce_mean(inside))
        # Parity: a pixel warped from outside the source is 0, mid-grey, and counts (paper equation 1).
        error = photometric_error(warped, tf.tile(scaled_target, [num_sources, 1, 1, 1]), config.ssim_weight)
        if mask_logits:
            mask = explainability(mask_logits[scale])
            masks.append(mask)
            error *= stack_sources(mask, num_sources)
            regularisation = explainability_loss(mask_logits[scale], config.explain_reg)
            terms["explain"].append(config.explain_reg_weight * regularisation)
        if config.mask_out_of_view:
            error *= inside / tf.maximum(in_view[-1], _MIN_IN_VIEW)
        terms["pixel"].append(num_sources * tf.reduce_mean(error))
        smoothness = smoothness_loss(
            normalize_disparity(disparity) if config.smooth_normalized else disparity,
            scaled_target if config.smoothness == "edge_aware" else None,
        )
        terms["smooth"].append(config.smooth_weight / 2**scale * smoothness)
    return Objective(
        **{name: tf.add_n(values) for name, values in terms.items()},
        anchor=config.anchor_weight * anchor_loss(disparities, anchors) if anchors else None,
        masks=tuple(masks),
        projected=tuple(projected),
        in_view=in_view[0],
    )


def photometric_error(warped: tf.Tensor, target: tf.Tensor, ssim_weight: float = 0.0) -> tf.Tensor:
    """The error [B, H, W, C] of a synthesised view, both images [B, H, W, C] in [-1, 1].

    The absolute difference (paper equation 1), of which `ssim_weight` in [0, 1] is replaced by 1 - SSIM (Godard et al.,
    CVPR 2017, equation 2, times 2 as the difference here is of a range of 2).
    """
    error = tf.abs(warped - target)
    if ssim_weight == 0:
        return error
    return (1 - ssim_weight) * error + ssim_weight * (1 - structural_similarity(warped, target))


def structural_similarity(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """SSIM (Wang et al. 2004, equation 13) of images in [-1, 1] over 3x3 windows: [B, H, W, C] in [-1, 1]."""

    def local_mean(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.avg_pool2d(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"), 3, 1, "VALID")

    mean_1, mean_2 = local_mean(first), local_mean(second)
    # Less the square of the mean, which float32 may take just below 0.
    variance_1 = tf.maximum(local_mean(first**2) - mean_1**2, 0)
    variance_2 = tf.maximum(local_mean(second**2) - mean_2**2, 0)
    covariance = local_mean(first * second) - mean_1 * mean_2
    # The mean of an image in [0, 1], as SSIM is defined for, is half of that in [-1, 1] and a half more; its
    # variance a quarter.
    level_1, level_2 = (mean_1 + 1) / 2, (mean_2 + 1) / 2
    luminance = (2 * level_1 * level_2 + _SSIM_C1) / (level_1**2 + level_2**2 + _SSIM_C1)
    structure = (covariance / 2 + _SSIM_C2) / ((variance_1 + variance_2) / 4 + _SSIM_C2)
    return luminance * structure


def stack_sources(images: tf.Tensor, num_sources: int) -> tf.Tensor:
    """Moves sources from the channels to the batch: [B, H, W, N*C] to [N*B, H, W, C], all of a source together."""
    return tf.concat(tf.split(images, num_sources, axis=-1), axis=0)


def unstack_sources(images: tf.Tensor, num_sources: int) -> tf.Tensor:
    """Undoes `stack_sources`."""
    return tf.concat(tf.split(images, num_sources, axis=0), axis=-1)


def smoothness_loss(disparity: tf.Tensor, image: tf.Tensor | None = None) -> tf.Tensor:
    """How rough a disparity [B, H, W, 1] is, a scalar.

    Without an image: mean absolute second differences, summed over xx, xy, yx and yy (section 3.4).
    With an image [B, H, W, 3] in [-1, 1]: mean absolute first differences, summed over x and y, each damped by
    exp(-|difference of the image in [0, 1]|), so that depth may jump where colour does (Godard et al.,
    CVPR 2017, equation 3).
    """
    differences = _differences(disparity)
    if image is None:
        seconds = [second[..., 0] for first in reversed(differences) for second in _differences(first)]
        return tf.add_n([tf.reduce_mean(tf.abs(second)) for second in seconds])
    edges = [tf.reduce_mean(tf.abs(edge), axis=-1, keepdims=True) / 2 for edge in _differences(image)]
    return tf.add_n([tf.reduce_mean(tf.abs(first) * tf.exp(-edge)) for first, edge in zip(differences, edges)])


def normalize_disparity(disparity: tf.Tensor) -> tf.Tensor:
    """Each disparity [B, H, W, 1] over its mean, so that smoothness does not reward shrinking it."""
    return disparity / tf.reduce_mean(disparity, axis=[1, 2], keepdims=True)


def _differences(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The differences of neighbours along y and x of [B, H, W, C]."""
    # tf.slice, because its gradient is a padding, several times faster than that of values[:, 1:].
    height, width = values.shape[1] - 1, values.shape[2] - 1
    above, below = (tf.slice(values, [0, row, 0, 0], [-1, height, -1, -1]) for row in (0, 1))
    left, right = (tf.slice(values, [0, 0, column, 0], [-1, -1, width, -1]) for column in (0, 1))
    return below - above, right - left


def anchor_loss(disparities: Sequence[tf.Tensor], anchors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean absolute differences of the logarithms of disparities and anchors, S of [B, h, w, 1], summed over scales."""
    pairs = zip(disparities, anchors)
    return tf.add_n([tf.reduce_mean(tf.abs(tf.math.log(disparity / anchor))) for disparity, anchor in pairs])


def explainability(logits: tf.Tensor) -> tf.Tensor:
    """The share of each pixel that is explainable: [B, H, W, N] in [0, 1] from logits [B, H, W, 2*N]."""
    # The softmax over a pair of channels, of which the second is kept.
    return tf.sigmoid(logits[..., 1::2] - logits[..., ::2])


def explainability_loss(logits: tf.Tensor, kind: str = "cross_entropy") -> tf.Tensor:
    """How far masks are from 1, averaged over pixels and summed over sources; a scalar.

    Args:
        logits: [B, H, W, 2*N].
        kind: "cross_entropy" with 1 (section 3.3), or "focal", which damps it by (1 - mask)**2 where the mask is near 1
            (Lin et al., ICCV 2017, equation 4).
    """
    differences = logits[..., ::2] - logits[..., 1::2]
    loss = tf.nn.softplus(differences)
    if kind == "focal":
        loss *= tf.sigmoid(differences) ** 2
    num_sources = logits.shape[-1] // 2
    return num_sources * tf.reduce_mean(loss)


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
