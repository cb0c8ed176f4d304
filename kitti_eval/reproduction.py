"""Turns the results of the evaluation commands into comparisons and pictures for the report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from kitti_eval import files, published, report
from kitti_eval.depth_ground_truth import load_ground_truth
from kitti_eval.depth_metrics import DepthErrors
from kitti_eval.error_maps import draw_error_map, draw_example
from kitti_eval.images import find_image

# The rows of the published tables for models trained on KITTI only.
DEPTH_ROWS = ("K", "K, released code and model")
ATE_ROWS = ("Ours", "released code and model")
_EXAMPLES = 3
_EXPECTED = "the results of an evaluation"


def compare_depth_results(means_file: Path, max_depth_m: int) -> tuple[str, list[report.Comparison]]:
    """The number of evaluated images, as a line, and the tables, from the output of eval_depth --output_json."""
    result = files.read_json(means_file, _EXPECTED)
    ours, rows = DepthErrors(**result["mean"]), published.read_published_depth(max_depth_m)
    title = f"Depth to {max_depth_m} m"
    line = f"{title}: mean over {result['evaluated']} of {result['listed']} images."
    return line, [report.compare_depth(title, ours, row, rows[row]) for row in DEPTH_ROWS if row in rows]


def draw_best_and_worst(kitti_raw: Path, prediction_file: Path, images_file: Path) -> list[report.Picture]:
    """The images with the smallest and largest abs_rel, from the output of eval_depth --output_csv."""
    with images_file.open(newline="", encoding="utf-8") as table:
        rows = [(index, row) for index, row in enumerate(csv.DictReader(table)) if row["abs_rel"]]
    rows.sort(key=lambda item: float(item[1]["abs_rel"]))
    ranked = list(enumerate(rows, start=1))
    chosen = ranked[:_EXAMPLES] + ranked[_EXAMPLES:][-_EXAMPLES:]
    depths = np.load(prediction_file, mmap_mode="r")
    pictures = []
    for rank, (index, row) in chosen:
        truth = load_ground_truth(kitti_raw, row["image"], "eigen")
        if truth is None:
            continue
        error_map = draw_error_map(truth.depth_m, depths[index] * float(row["scale"]))
        caption = f"{rank} of {len(rows)}, abs_rel {float(row['abs_rel']):.3f}: {row['image']}, its depth, its errors"
        pictures.append(report.Picture(caption, draw_example(find_image(kitti_raw, row["image"]), error_map)))
    return pictures


def compare_ate_results(ate_file: Path, sequence: str) -> list[report.Comparison]:
    """The tables from the output of eval_pose --output_json."""
    ours, rows = files.read_json(ate_file, _EXPECTED), published.read_published_ate(sequence)
    title = f"Snippet ATE (m), {sequence}"
    return [report.compare_ate(title, ours, row, rows[row]) for row in ATE_ROWS if row in rows]


def compare_mean_odometry_results(mean_file: Path, sequence: str) -> list[report.Comparison]:
    """The tables from the output of eval_mean_odometry --output_json."""
    ours, rows = files.read_json(mean_file, _EXPECTED)[sequence], published.read_published_ate(sequence)
    title, row = f"Snippet ATE of the mean motion (m), {sequence}", "Mean Odom."
    return [report.compare_ate(title, ours, row, rows[row])] if row in rows else []


def compare_odometry_results(odometry_file: Path, sequence: str) -> list[report.Comparison]:
    """The tables from the output of eval_odometry --output_json; none if the path is too short for KITTI's segments."""
    ours = files.read_json(odometry_file, _EXPECTED)["7dof"]["segments"]
    row = published.read_published_odometry().get(sequence)
    if not ours or not row:
        return []
    title = f"Whole trajectory (7dof), {sequence}"
    cells = [report.judge(name, ours[name], value) for name, value in zip(("t_err_percent", "r_err_deg_per_100m"), row)]
    return [report.Comparison(title, "the original, measured by a third party", cells)]


def read_plots(odometry_file: Path, plot_dir: Path, sequence: str) -> list[report.Picture]:
    """The plots that eval_odometry wrote to `plot_dir` beside its output."""
    pictures = [report.Picture(f"{sequence}: path from above", (plot_dir / "path.png").read_bytes())]
    if files.read_json(odometry_file, _EXPECTED)["7dof"]["by_length_m"]:
        plot = (plot_dir / "error_by_length.png").read_bytes()
        pictures.append(report.Picture(f"{sequence}: error against segment length", plot))
    return pictures
