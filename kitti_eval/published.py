"""Published results to compare with."""

from __future__ import annotations

import csv
from pathlib import Path

from kitti_eval.depth_metrics import DepthErrors


def read_published_depth(max_depth_m: int) -> dict[str, DepthErrors]:
    """Depth errors on the Eigen split by model, up to 80 or 50 m (paper, Table 1, and the release's README).

    The table's last column says which numbers of a row were found in a source: all of the models that were trained on
    KITTI alone, and abs_rel to 80 m of CS+K. The others are quoted from memory of the paper.
    """
    return {
        row["model"]: DepthErrors(*(float(row[name]) for name in DepthErrors._fields))
        for row in _read_table("published_depth.csv")
        if int(row["max_depth_m"]) == max_depth_m
    }


def read_published_ate(sequence: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of the 5-frame snippet ATE by method, for sequence "09" or "10" (paper, Table 3)."""
    return {
        row["method"]: (float(row["ate_mean"]), float(row["ate_std"]))
        for row in _read_table("published_pose.csv")
        if row["sequence"] == sequence
    }


def read_published_odometry() -> dict[str, tuple[float, float]]:
    """t_err (percent) and r_err (degrees / 100 m) of the original release by sequence, as measured by a third party."""
    return {
        row["sequence"]: (float(row["t_err_percent"]), float(row["r_err_deg_per_100m"]))
        for row in _read_table("published_odometry.csv")
    }


def _read_table(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))
