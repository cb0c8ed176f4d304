"""Evaluates depth predictions on KITTI: one image, or many in several processes."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval import depth_metrics
from kitti_eval.depth_ground_truth import GroundTruth, load_ground_truth
from kitti_eval.error_maps import draw_error_map, save_error_map
from kitti_eval.errors import UserError
from kitti_eval.resize import resize_bilinear
from kitti_eval.workers import ordered_map

# With fewer images per process, starting processes takes longer than evaluating.
_IMAGES_PER_PROCESS = 50


@dataclass(frozen=True)
class DepthProtocol:
    """How predictions are evaluated; the defaults are the release's.

    ground_truth: eigen, camera, improved or stereo (see `load_ground_truth`). scale: None for median scaling per image,
    else the factor that turns predictions into metres. crop: garg, eigen or none.
    """

    ground_truth: str = "eigen"
    min_depth_m: float = 1e-3
    max_depth_m: float = 80.0
    scale: float | None = None
    crop: str = "garg"


# What a prediction is everywhere that was not made, for its image was missing; no network gives that.
SKIPPED = -1.0


class EvaluationSummary(NamedTuple):
    """Means over the evaluated images, equally weighted, and the listed images that were left out.

    d1_all: percent, None if no image has disparities. left_out: (image, reason).
    """

    listed: int
    evaluated: int
    errors: depth_metrics.DepthErrors
    d1_all: float | None
    left_out: list[tuple[str, str]]


class ImageResult(NamedTuple):
    """The errors of one image, or the reason why it was left out.

    scale: factor applied to the prediction. pixels: number compared. d1_all: percent, None without disparities.
    """

    image_file: str
    errors: depth_metrics.DepthErrors | None = None
    scale: float | None = None
    pixels: int = 0
    d1_all: float | None = None
    left_out: str = ""


def evaluate_depth_map(
    truth: GroundTruth, pred: np.ndarray, protocol: DepthProtocol, image_file: str = ""
) -> ImageResult:
    """Evaluates `pred` [h, w], depth in any unit, at the size of the ground truth [H, W].

    Raises ValueError if the prediction is not finite or, with median scaling, its median is not above 0.
    """
    mask = depth_metrics.compute_valid_mask(truth.depth_m, protocol.min_depth_m, protocol.max_depth_m, protocol.crop)
    if not mask.any():
        return ImageResult(image_file, left_out="no valid pixel in the ground truth")
    pred = resize_bilinear(np.asarray(pred, np.float32), *truth.depth_m.shape)
    gt_m = truth.depth_m[mask]
    scale = depth_metrics.compute_median_scale(gt_m, pred[mask]) if protocol.scale is None else protocol.scale
    limits = protocol.min_depth_m, protocol.max_depth_m
    errors = depth_metrics.compute_depth_errors(gt_m, depth_metrics.scale_and_clip(gt_m, pred[mask], *limits, scale))
    d1_all = None
    if truth.focal_baseline is not None:
        measured = truth.depth_m > 0
        gt_m = truth.depth_m[measured]
        pred_m = depth_metrics.scale_and_clip(gt_m, pred[measured], *limits, scale)
        d1_all = depth_metrics.compute_d1_all(truth.focal_baseline / gt_m, truth.focal_baseline / pred_m)
    return ImageResult(image_file, errors, scale, int(mask.sum()), d1_all)


def evaluate_image(
    kitti_dir: Path, image_file: str, pred: np.ndarray, protocol: DepthProtocol, error_map_dir: Path | None = None
) -> ImageResult:
    """`evaluate_depth_map` for one listed image; also draws its error map if a folder is given.

    Raises UserError with the image's name if its prediction or ground truth is unusable.
    """
    if (pred == SKIPPED).all():
        return ImageResult(image_file, left_out="no prediction")
    truth = load_ground_truth(kitti_dir, image_file, protocol.ground_truth)
    if truth is None:
        return ImageResult(image_file, left_out="no ground truth file")
    try:
        result = evaluate_depth_map(truth, pred, protocol, image_file)
    except ValueError as error:
        raise UserError(f"prediction of {image_file}: {error}") from error
    if error_map_dir is not None and result.scale is not None:
        picture = draw_error_map(
            truth.depth_m, pred * result.scale, protocol.min_depth_m, protocol.max_depth_m, protocol.crop
        )
        save_error_map(error_map_dir, image_file, picture)
    return result


def evaluate_images(
    kitti_dir: Path,
    image_files: Sequence[str],
    predictions: Sequence[np.ndarray] | np.ndarray,
    protocol: DepthProtocol,
    processes: int = 0,
    error_map_dir: Path | None = None,
) -> Iterator[ImageResult]:
    """Yields the results of N images in order; `predictions`: [N, h, w].

    processes: upper limit, 0 for one per core; few images use one. Raises UserError if a prediction or ground truth is
    unusable or a process is killed.
    """
    processes = max(1, min(processes or os.cpu_count() or 1, len(image_files) // _IMAGES_PER_PROCESS))
    evaluate = functools.partial(_evaluate_pair, kitti_dir, protocol, error_map_dir)
    for _, result in ordered_map(evaluate, zip(image_files, predictions), processes):
        yield result


def _evaluate_pair(
    kitti_dir: Path, protocol: DepthProtocol, error_map_dir: Path | None, pair: tuple[str, np.ndarray]
) -> ImageResult:
    return evaluate_image(kitti_dir, *pair, protocol, error_map_dir)


def summarize(results: Sequence[ImageResult]) -> EvaluationSummary:
    """The means over all evaluated images. Raises UserError if there are none."""
    left_out = [(result.image_file, result.left_out) for result in results if result.errors is None]
    if len(left_out) == len(results):
        raise UserError(
            f"none of the {len(results)} listed images can be evaluated; the first, {': '.join(left_out[0])}"
        )
    d1_all = [result.d1_all for result in results if result.d1_all is not None]
    return EvaluationSummary(
        listed=len(results),
        evaluated=len(results) - len(left_out),
        errors=depth_metrics.mean_errors(result.errors for result in results if result.errors is not None),
        d1_all=float(np.mean(d1_all)) if d1_all else None,
        left_out=left_out,
    )
