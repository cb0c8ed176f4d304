"""Plots of trajectories and their errors, as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from kitti_eval.pose_metrics import SegmentErrors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_paths(positions: dict[str, np.ndarray], title: str = "") -> bytes:
    """PNG of named paths [N, 3] from above: x to the right, z (forward) upwards, metres, equal scales."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots()
    for name, path in positions.items():
        axes.plot(path[:, 0], path[:, 2], label=name, linewidth=1.5)
    start = next(iter(positions.values()))[0]
    axes.plot(start[0], start[2], "k*", markersize=10, label="start")
    axes.set(xlabel="x (m)", ylabel="z (m)", title=title, aspect="equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    axes.legend()
    return _encode(figure)


def plot_segment_errors(by_length: dict[int, SegmentErrors], title: str = "") -> bytes:
    """PNG of KITTI's translation and rotation errors against segment length."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    lengths = list(by_length)
    left.plot(lengths, [errors.t_err_percent for errors in by_length.values()], "o-")
    right.plot(lengths, [errors.r_err_deg_per_100m for errors in by_length.values()], "o-")
    for axes, label in ((left, "t_err (%)"), (right, "r_err (deg / 100 m)")):
        axes.margins(y=0.15)
        axes.set(xlabel="length (m)", ylabel=label, ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return _encode(figure)


def _encode(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
