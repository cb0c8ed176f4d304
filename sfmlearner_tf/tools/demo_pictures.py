"""The demo's pictures: predictions for held-out frames, and the loss curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from kitti_eval.files import write_aside
from sfmlearner_tf.tools.held_out import MAX_DEPTH_M, Triplet

if TYPE_CHECKING:
    from sfmlearner_tf import SfMLearner

_COLUMNS = ("input", "predicted depth", "true depth", "source warped into the target", "error of the warp")


def draw_predictions(learner: SfMLearner, triplets: Sequence[Triplet], intrinsics: np.ndarray, path: str) -> None:
    """Saves a PNG with a row per triplet; depth is coloured on a log scale, near is bright.

    Args:
        intrinsics: [3, 3] at the size of the frames, pixels.
    """
    targets, sources = np.stack([t.target for t in triplets]), np.stack([t.sources for t in triplets])
    out = learner.forward(targets, sources, np.tile(intrinsics, (len(triplets), 1, 1)))
    depths, warped = out["depth"][0].numpy()[..., 0], (out["projected"][0].numpy()[..., 3:] + 1) / 2
    height, width = targets.shape[1:3]
    inches = 3.4
    size = (inches * len(_COLUMNS), (inches * height / width + 0.12) * len(triplets) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(triplets), len(_COLUMNS), squeeze=False)
    for row, triplet in enumerate(triplets):
        known = triplet.depth_m > 0
        truth = np.where(known, triplet.depth_m, np.nan)
        scale = np.median(triplet.depth_m[known]) / np.median(depths[row][known])
        error = np.abs(warped[row] - triplet.target / 255).mean(axis=-1)
        axes[row, 0].imshow(triplet.target)
        _show_depth(axes[row, 1], depths[row] * scale)
        _show_depth(axes[row, 2], truth)
        axes[row, 3].imshow(np.clip(warped[row], 0, 1))
        axes[row, 4].imshow(error, cmap="inferno", vmin=0, vmax=0.3)
    for axis, title in zip(axes[0], _COLUMNS):
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    _save(figure, path)


def draw_loss_curve(checkpoint_dir: str, path: str) -> None:
    """Saves a PNG of the losses in the TensorBoard summaries."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(checkpoint_dir, size_guidance={"tensors": 0})
    events.Reload()
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for tag in ("total_loss", "pixel_loss", "smooth_loss"):
        points = events.Tensors(tag)
        values = [float(np.frombuffer(p.tensor_proto.tensor_content, np.float32)[0]) for p in points]
        axis.plot([p.step for p in points], values, marker=".", label=tag)
    axis.set(xlabel="step", ylabel="loss of one batch", ylim=(0, None), title="Training on the generated world")
    axis.legend()
    axis.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: str) -> None:
    with write_aside(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _show_depth(axis, depth_m: np.ndarray) -> None:
    """Draws depth [H, W] in metres, clipped to 2 m and MAX_DEPTH_M; NaN (the sky) stays white."""
    axis.imshow(-np.log(np.clip(depth_m, 2, MAX_DEPTH_M)), cmap="magma", vmin=-np.log(MAX_DEPTH_M), vmax=-np.log(2))
