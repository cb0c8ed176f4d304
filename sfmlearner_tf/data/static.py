"""Finds frames without camera motion, from the recorded vehicle speed if there is one, else from optical flow."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from types import ModuleType

import numpy as np

from sfmlearner_tf.data.frames import Geometry, load_frames
from sfmlearner_tf.data.sequences import Frame, FrameSequence, Note
from sfmlearner_tf.errors import UserError

# Small images suffice for the mean flow and make it affordable. Flow is reported at the usual training width.
FLOW_GEOMETRY = Geometry(width=104, height=32, kept_height=32)
REPORTED_WIDTH = 416
# Columns of KITTI's oxts files: forward and leftward velocity.
VELOCITY_COLUMNS = (8, 9)


def find_static(sequence: FrameSequence, max_speed: float, max_flow: float) -> tuple[list[int], list[Note]]:
    """The numbers of the frames without camera motion, and notes on damaged frames.

    Args:
      max_speed: m/s; a slower frame is static. Used where there are oxts files of KITTI raw; a frame that lacks its own
        is not static.
      max_flow: pixels at a width of 416; otherwise a frame with a smaller mean optical flow to the next is static.

    Raises UserError if flow is needed and scikit-image is not installed.
    """
    notes: list[Note] = []
    motions, limit = [_speed(frame) for frame in sequence.frames], max_speed
    unknown = motions.count(None)
    if unknown == len(motions):
        flows, limit = measure_flows(sequence, notes, _mean_flow), max_flow
        # The last frame gets the flow from the frame before it.
        motions = [*flows, flows[-1] if flows else None]
    elif unknown:
        notes.append(Note("frames without a speed in oxts, kept", f"{sequence.folder}: {unknown} of {len(motions)}"))
    static = [frame for frame, motion in zip(sequence.frames, motions) if motion is not None and motion < limit]
    return [int(frame.name.split("_")[-1]) for frame in static], notes


def _speed(frame: Frame) -> float | None:
    """Speed in m/s from the oxts file of a KITTI raw frame; None if there is no valid one."""
    drive = os.path.dirname(os.path.dirname(os.path.dirname(frame.path)))
    try:
        with open(os.path.join(drive, "oxts", "data", f"{frame.name}.txt"), encoding="utf-8") as file:
            numbers = file.read().split()
        return math.hypot(*(float(numbers[column]) for column in VELOCITY_COLUMNS))
    except (OSError, ValueError, IndexError):
        return None


def measure_flows(
    sequence: FrameSequence, notes: list[Note], measure: Callable[[np.ndarray, np.ndarray], float]
) -> list[float | None]:
    """How the picture moves from each frame but the last to the next, pixels at REPORTED_WIDTH; None if either is
    damaged.

    Args:
        measure: of two grey images [H, W] in [0, 1], of FLOW_GEOMETRY, in their pixels.
    """
    scale = REPORTED_WIDTH / FLOW_GEOMETRY.width
    flows: list[float | None] = []
    before = None
    for position, frame in enumerate(load_frames(sequence.frames, FLOW_GEOMETRY, notes)):
        grey = None if frame is None else np.asarray(frame.image.convert("L"), np.float32) / 255
        if position > 0:
            flows.append(None if before is None or grey is None else measure(before, grey) * scale)
        before = grey
    return flows


def load_registration() -> ModuleType:
    """scikit-image's optical flow. Raises UserError where it is not installed."""
    try:
        from skimage import registration
    except ImportError:
        raise UserError(
            "optical flow: expected the package scikit-image, found none (pip install 'sfmlearner_tf[static]')"
        ) from None
    return registration


def _mean_flow(before: np.ndarray, after: np.ndarray) -> float:
    # Few iterations: whether there is motion is asked, not how much.
    flow = load_registration().optical_flow_tvl1(before, after, num_warp=3, num_iter=8)
    return float(np.hypot(*flow).mean())
