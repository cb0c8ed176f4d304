"""The release's evaluation of depth and of snippets of motion once more, from the formulas, without kitti_eval."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage


def parse_calibration(text: str) -> dict[str, list[float]]:
    """The numbers of a KITTI calibration file by name, but for the date."""
    lines = (line.split(": ") for line in text.splitlines() if ":" in line and "time" not in line)
    return {name: [float(number) for number in numbers.split()] for name, numbers in lines if name != "corner_dist"}


def lidar_depth(scan: np.ndarray, cameras_text: str, lidar_text: str) -> np.ndarray:
    """[H, W], the forward distance of the nearest point that falls into each pixel of camera 2, infinite without."""
    cameras, lidar = parse_calibration(cameras_text), parse_calibration(lidar_text)
    width, height = (int(number) for number in cameras["S_rect_02"])
    points = scan[scan[:, 0] >= 0, :3].astype(float)
    in_camera0 = points @ np.reshape(lidar["R"], (3, 3)).T + lidar["T"]
    rectified = in_camera0 @ np.reshape(cameras["R_rect_00"], (3, 3)).T
    projected = np.c_[rectified, np.ones(len(points))] @ np.reshape(cameras["P_rect_02"], (3, 4)).T
    projected, forward = projected[projected[:, 2] > 0], points[projected[:, 2] > 0, 0]
    columns, rows = np.round(projected[:, :2] / projected[:, 2:]).T - 1
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    depth = np.full((height, width), np.inf)
    np.minimum.at(depth, (rows[inside].astype(int), columns[inside].astype(int)), forward[inside])
    return depth


def depth_errors(gt: np.ndarray, pred: np.ndarray, cap: float) -> dict[str, float]:
    """The seven errors up to `cap` metres of a prediction [h, w] of any scale against `lidar_depth` [H, W]."""
    height, width = gt.shape
    centres = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(gt.shape, pred.shape)]
    grid = np.meshgrid(*centres, indexing="ij")
    pred = ndimage.map_coordinates(pred.astype(float), grid, order=1, mode="nearest")
    rows = slice(int(0.40810811 * height), int(0.99189189 * height))
    columns = slice(int(0.03594771 * width), int(0.96405229 * width))
    pairs = [(g, p) for g, p in zip(gt[rows, columns].flat, pred[rows, columns].flat) if 1e-3 < g < cap]
    truths, predictions = np.array(pairs).T
    scale = np.median(truths) / np.median(predictions)
    pairs = [(g, min(max(scale * p, 1e-3), cap)) for g, p in pairs]
    count = len(pairs)
    within = {f"a{k}": sum(max(g / p, p / g) < 1.25**k for g, p in pairs) / count for k in (1, 2, 3)}
    return {
        "abs_rel": sum(abs(g - p) / g for g, p in pairs) / count,
        "sq_rel": sum((g - p) ** 2 / g for g, p in pairs) / count,
        "rms": math.sqrt(sum((g - p) ** 2 for g, p in pairs) / count),
        "log_rms": math.sqrt(sum((math.log(g) - math.log(p)) ** 2 for g, p in pairs) / count),
        **within,
    }


def mean_depth_errors(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def snippet_ate(gt_text: str, pred_text: str) -> float:
    """The release's error of one snippet, from the texts of two TUM files of the same times."""
    gt, pred = (
        [[float(number) for number in line.split()[1:4]] for line in text.splitlines()] for text in (gt_text, pred_text)
    )
    moved = [[p + g0 - p0 for p, p0, g0 in zip(row, pred[0], gt[0])] for row in pred]
    pairs = [(g, p) for gt_row, pred_row in zip(gt, moved) for g, p in zip(gt_row, pred_row)]
    scale = sum(g * p for g, p in pairs) / sum(p * p for g, p in pairs)
    return math.sqrt(sum((g - scale * p) ** 2 for g, p in pairs)) / len(gt)


def mean_and_std(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
