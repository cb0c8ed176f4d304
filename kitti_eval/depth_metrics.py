"""The depth errors of Eigen et al. (NIPS 2014), with the scale, crop and clipping of the SfMLearner evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Limits as fractions of the image: top, bottom, left, right (Garg et al., ECCV 2016; Eigen et al., NIPS 2014).
CROP_FRACTIONS = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}


class DepthErrors(NamedTuple):
    """Errors of one depth map, or their mean over many, in the order of the published tables.

    abs_rel: mean of |gt - pred| / gt.            sq_rel: mean of (gt - pred)^2 / gt, metres.
    rms: sqrt of the mean of (gt - pred)^2, metres.  log_rms: rms of the natural logarithms.
    a1, a2, a3: share of pixels with max(gt / pred, pred / gt) below 1.25, 1.25^2, 1.25^3.
    """

    abs_rel: float
    sq_rel: float
    rms: float
    log_rms: float
    a1: float
    a2: float
    a3: float


def compute_depth_errors(gt_m: np.ndarray, pred_m: np.ndarray) -> DepthErrors:
    """The errors of the depths `pred_m` [P] against `gt_m` [P], both in metres, finite and above 0.

    Raises ValueError if the shapes differ or are empty, or a depth is not finite and positive.

    >>> errors = compute_depth_errors(np.array([10.0, 20.0]), np.array([11.0, 18.0]))
    >>> f"{errors.abs_rel:.2f} {errors.rms:.2f} m, {errors.a1:.0%} within a factor of 1.25"
    '0.10 1.58 m, 100% within a factor of 1.25'
    """
    if gt_m.shape != pred_m.shape or gt_m.ndim != 1 or gt_m.size == 0:
        raise ValueError(f"depths must be two equal [P] with P > 0, got {gt_m.shape} and {pred_m.shape}")
    for name, depths in (("ground truth", gt_m), ("prediction", pred_m)):
        if not np.all(np.isfinite(depths) & (depths > 0)):
            raise ValueError(f"the {name} holds depths that are not finite and positive")
    difference = gt_m - pred_m
    log_difference = np.log(gt_m) - np.log(pred_m)
    ratio = np.maximum(gt_m / pred_m, pred_m / gt_m)
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(difference) / gt_m)),
        sq_rel=float(np.mean(difference**2 / gt_m)),
        rms=float(np.sqrt(np.mean(difference**2))),
        log_rms=float(np.sqrt(np.mean(log_difference**2))),
        a1=float(np.mean(ratio < 1.25)),
        a2=float(np.mean(ratio < 1.25**2)),
        a3=float(np.mean(ratio < 1.25**3)),
    )


def compute_valid_mask(gt_m: np.ndarray, min_depth_m: float, max_depth_m: float, crop: str = "garg") -> np.ndarray:
    """Mask [H, W] of the pixels of `gt_m` [H, W] (0: no measurement) between the limits and inside the crop.

    crop: garg, eigen or none.
    """
    mask = (gt_m > min_depth_m) & (gt_m < max_depth_m)
    if crop == "none":
        return mask
    height, width = gt_m.shape
    top, bottom, left, right = (np.array(CROP_FRACTIONS[crop]) * [height, height, width, width]).astype(int)
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = True
    return mask & inside


def compute_median_scale(gt_m: np.ndarray, pred: np.ndarray) -> float:
    """The factor that gives `pred` [P] the median of `gt_m` [P], as monocular depth has no scale (paper, section 4.1).

    Raises ValueError if the median of the prediction is not finite and above 0.

    >>> compute_median_scale(np.array([4.0, 10.0, 30.0]), np.array([1.0, 2.0, 5.0]))
    5.0
    """
    median = float(np.median(pred))
    if not (np.isfinite(median) and median > 0):
        raise ValueError(f"the median of the prediction must be finite and above 0, got {median}")
    return float(np.median(gt_m)) / median


def scale_and_clip(
    gt_m: np.ndarray,
    pred: np.ndarray,
    min_depth_m: float = 1e-3,
    max_depth_m: float = 80.0,
    scale: float | None = None,
) -> np.ndarray:
    """Converts `pred` [P] of one image to metres: times `scale` (None: median scale to `gt_m` [P]), then clipped.

    Raises ValueError if a depth is not finite.
    Parity: clipped after scaling, so that the limits are in metres whatever unit the network predicts in.
    """
    if not np.isfinite(pred).all():
        raise ValueError(f"the prediction holds {np.count_nonzero(~np.isfinite(pred))} values that are not finite")
    factor = compute_median_scale(gt_m, pred) if scale is None else scale
    return np.clip(pred * factor, min_depth_m, max_depth_m)


def compute_d1_all(gt_px: np.ndarray, pred_px: np.ndarray) -> float:
    """KITTI 2015's D1-all: percent of disparities [P] with an error of at least 3 pixels and at least 5 percent."""
    error = np.abs(gt_px - pred_px)
    return 100 * float(np.mean((error >= 3) & (error >= 0.05 * gt_px)))


def mean_errors(errors: Iterable[DepthErrors]) -> DepthErrors:
    """The mean over images, equally weighted. Raises ValueError if there are none."""
    table = np.array(list(errors))
    if table.size == 0:
        raise ValueError("there is no image to average over")
    return DepthErrors(*table.mean(axis=0).tolist())
