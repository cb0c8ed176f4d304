"""Chooses how many frames away the sources of each target are, so that the picture moves by enough and not by too much.

Recordings differ in frame rate and speed, and the warp learns from pictures that move by some pixels: KITTI's by about
3 from frame to frame, at a width of 416.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sfmlearner_tf.data.sequences import FrameSequence, Note, runs
from sfmlearner_tf.data.static import load_registration, measure_flows

# Frames. Farther ones show other things.
LONGEST_STEP = 10


class FlowLimits(NamedTuple):
    """How far the picture has to move between neighbours of an example: the median, pixels at a width of 416."""

    least_px: float = 0.0
    most_px: float = float("inf")


class Chosen(NamedTuple):
    """The sequences, each of one step, and how each frame fared: its step, or why it is no target."""

    sequences: list[FrameSequence]
    notes: list[Note]
    counts: Counter[int | str]

    def describe(self, recording: str) -> str:
        """One line for the user."""
        steps = sorted((step, number) for step, number in self.counts.items() if isinstance(step, int))
        lost = sorted((reason, number) for reason, number in self.counts.items() if isinstance(reason, str))
        away = ", ".join(f"{step} for {number}" for step, number in steps) or "none"
        without = "; no targets: " + ", ".join(f"{number} {reason}" for reason, number in lost) if lost else ""
        return f"{recording}: frames to the neighbours: {away}{without}"


def choose_steps(sequence: FrameSequence, seq_length: int, limits: FlowLimits) -> Chosen:
    """Takes for every target the smallest step at which all of its example's frames move by enough.

    What moves by more than allowed at that step is left out, and so are a target for which LONGEST_STEP is not enough
    and one near a damaged frame. The way over some frames counts as the sum of the ways between them.

    Raises:
        UserError: scikit-image is not installed.
    """
    notes: list[Note] = []
    flows = np.array(measure_flows(sequence, notes, _median_flow), float)
    targets: dict[int, list[int]] = defaultdict(list)
    counts: Counter[int | str] = Counter()
    for target in range(len(sequence.frames)):
        found = _find_step(flows, target, seq_length // 2, limits)
        counts[found] += 1
        if isinstance(found, int):
            targets[found].append(target)
    chosen = []
    for step, numbers in sorted(targets.items()):
        reach = seq_length // 2 * step
        for run in runs(numbers, step):
            chosen.append(replace(sequence, frames=sequence.frames[run[0] - reach : run[-1] + reach + 1 : step]))
    return Chosen(chosen, notes, counts)


def _median_flow(before: np.ndarray, after: np.ndarray) -> float:
    # Of a street that moves by more than about 6 pixels at a width of 416 it finds less.
    flow = load_registration().optical_flow_ilk(before, after, radius=5, num_warp=10)
    return float(np.median(np.hypot(*flow)))


def _find_step(flows: np.ndarray, target: int, half: int, limits: FlowLimits) -> int | str:
    """The step of a target, or why it has none; `flows` from each frame to the next, NaN where that is not known."""
    for step in range(1, LONGEST_STEP + 1):
        first, stop = target - half * step, target + half * step
        if first < 0 or stop > len(flows):
            return "at an end"
        ways = flows[first:stop].reshape(-1, step).sum(axis=1)
        if np.isnan(ways).any():
            return "by a damaged frame"
        if ways.min() >= limits.least_px:
            return step if ways.max() <= limits.most_px else "move too much"
    return "hardly move"
