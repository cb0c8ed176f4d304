"""How far the warped sources are from the target (paper equation 1), and SSIM beyond the paper."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.images import stack_sources
from sfmlearner_tf.losses.explainability import explainability
from sfmlearner_tf.losses.geometry_consistency import consistency_weight
from sfmlearner_tf.losses.term import Mean
from sfmlearner_tf.losses.view import View

# The constants of SSIM for images in [0, 1].
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
# Of depths, that is divided by where they all agree.
_LEAST_SQUARE = 1e-12


def photometric_loss(
    views: Sequence[View],
    ssim_weight: float = 0.0,
    mask_out_of_view: bool = False,
    consistency: str = "none",
    occlusion_aware: bool = False,
) -> list[Mean]:
    """The mean photometric error over pixels and colours, summed over sources, at each scale.

    Where there are explainability masks they weight the error (paper equation 3).

    Args:
        ssim_weight: share of 1 - SSIM, see `photometric_error`.
        mask_out_of_view: leave pixels that fall outside a source out of the mean.
        consistency: weight it by `consistency_weight`, too: "detached", without a gradient, or "learned"; or "none".
        occlusion_aware: the mean over what is visible, and of SSIM that over what is in view, weighted by
            `depth_agreement` (Gordon et al., ICCV 2019).
    """
    if occlusion_aware:
        return [mean for view in views for mean in _visible_losses(view, ssim_weight, consistency)]
    return [_loss_at_scale(view, ssim_weight, mask_out_of_view, consistency) for view in views]


def _visible_losses(view: View, ssim_weight: float, consistency: str) -> list[Mean]:
    target = view.for_each_source(view.target)
    parts = [((1 - ssim_weight) * tf.abs(view.warped - target), view.visible)]
    if ssim_weight:
        dissimilarity = 1 - structural_similarity(view.warped, target)
        parts.append((ssim_weight * depth_agreement(view) * dissimilarity, view.in_view))
    return [
        Mean.where(_weigh(error, view, consistency), counted).summed_over(view.num_pairs) for error, counted in parts
    ]


def depth_agreement(view: View) -> tf.Tensor:
    """s^2 / (s^2 + d^2) of the difference d of a point's depth from that of the source, without a gradient, [N*B, h, w,
    1]; s^2 is the mean of d^2 over what is visible, of each image."""
    square = (view.z - view.sampled_depth) ** 2
    visible = tf.reduce_sum(view.visible, axis=[1, 2, 3], keepdims=True)
    usual = tf.reduce_sum(square * view.visible, axis=[1, 2, 3], keepdims=True) / tf.maximum(visible, 1)
    return tf.stop_gradient(usual / (usual + square + _LEAST_SQUARE))


def _loss_at_scale(view: View, ssim_weight: float, mask_out_of_view: bool, consistency: str) -> Mean:
    # Parity: a pixel warped from outside the source is 0, mid-grey, and counts (paper equation 1).
    error = photometric_error(view.warped, view.for_each_source(view.target), ssim_weight)
    error = _weigh(error, view, consistency)
    mean = Mean.where(error, view.in_view) if mask_out_of_view else Mean.of(error)
    return mean.summed_over(view.num_pairs)


def _weigh(error: tf.Tensor, view: View, consistency: str) -> tf.Tensor:
    """The error [N*B, h, w, C], as far as masks and the frames' depths let it count."""
    if view.mask_logits is not None:
        error *= stack_sources(explainability(view.mask_logits), view.num_sources)
    if consistency != "none":
        error *= consistency_weight(view, has_gradient=consistency == "learned")
    return error


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
