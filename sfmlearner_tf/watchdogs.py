"""Tells when training goes wrong without stopping by itself: depth is constant, the camera stands still, and the like.

A look is taken every few steps. What it sees is judged by the median of the latest looks, so that one odd batch raises
no alarm, and not before the networks had time to leave their initial state, which is constant depth and no motion.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

SIGNS = (
    "depth_spread",
    "bottom_nearness",
    "translation",
    "rotation_rad",
    "in_view",
    "mask",
    "identical_frames",
    "gradient_norm",
)
# Looks that an alarm is judged by.
WINDOW = 10


class Watch(NamedTuple):
    """One way of going wrong: the sign it is seen by, when it counts, and what to tell."""

    sign: str
    is_wrong: Callable[[float], bool]
    seen: str
    cause: str
    from_start: bool = False


# The limits lie far from what healthy runs show (docs/learning.md).
WATCHES = (
    Watch(
        "depth_spread",
        lambda spread: spread < 0.01,
        "depth is constant over the image: log depth spreads by {:.2g}",
        "too large a --smooth_weight or --learning_rate, or frames without parallax",
    ),
    Watch(
        "depth_spread",
        lambda spread: spread > 2,
        "depth has only extremes, nearest and farthest: log depth spreads by {:.2g}",
        "too large a --learning_rate, or things that move along with the camera",
    ),
    Watch(
        "bottom_nearness",
        lambda nearness: nearness < -0.1,
        "depth is upside down: the bottom of the image is farther than the top, log disparity differs by {:.2g}",
        "too little camera motion, things that move along with the camera, or frames that are upside down",
    ),
    Watch(
        "translation",
        lambda translation: translation < 1e-4,
        "the camera does not move: translation is {:.2g} of the depth",
        "static frames in the data (tools/find_static_frames.py), or wrong intrinsics",
    ),
    Watch(
        "translation",
        lambda translation: translation > 1,
        "poses explode: translation is {:.2g} times the depth",
        "too large a --learning_rate, or too wide a step between frames",
    ),
    Watch(
        "rotation_rad",
        lambda rotation: rotation > 0.5,
        "poses explode: rotation is {:.2g} rad",
        "too large a --learning_rate, or neighbouring frames that do not show the same place",
    ),
    Watch(
        "in_view",
        lambda share: share < 0.5,
        "most pixels are warped to outside the source image: {:.0%} fall inside",
        "wrong intrinsics, too wide a step between frames, or --mask_out_of_view with too large a --learning_rate",
    ),
    Watch(
        "mask",
        lambda mask: mask < 0.02,
        "the explainability masks are 0 everywhere: their mean is {:.2g}",
        "too small an --explain_reg_weight, so that explaining nothing is cheapest",
    ),
    Watch(
        "identical_frames",
        lambda share: share > 0.5,
        "{:.0%} of the examples have target and sources that are the same picture",
        "a standing camera or repeated frames (tools/find_static_frames.py; --frame_step in preparing)",
        from_start=True,
    ),
)
# How many times its usual size, the median of all looks so far, the norm of the gradient may have.
MAX_GRADIENT_GROWTH = 50.0


class Watchdogs:
    """Judges looks at training; an alarm is raised once, and again only after things were well in between.

    Args:
        watch_after: step before which the networks' initial state is no reason for alarm.
    """

    def __init__(self, watch_after: int = 500) -> None:
        self.watch_after = watch_after
        self._signs: dict[str, deque[float]] = {}
        self._gradient_norms: list[float] = []
        self._alarmed: set[str] = set()

    def look(self, step: int, signs: Mapping[str, float]) -> list[str]:
        """Takes one look, the signs of `SfMLearner.watched_step` at `step`; a line for each new alarm."""
        alarms = {}
        for name, value in signs.items():
            self._signs.setdefault(name, deque(maxlen=WINDOW)).append(value)
        for watch in WATCHES:
            latest = self._signs.get(watch.sign, ())
            if len(latest) == WINDOW and (watch.from_start or step >= self.watch_after):
                value = statistics.median(latest)
                if watch.is_wrong(value):
                    alarms[watch.seen] = f"{watch.seen.format(value)}; usual cause: {watch.cause}"
        growth = self._gradient_growth(signs["gradient_norm"])
        if growth > MAX_GRADIENT_GROWTH:
            alarms["gradient"] = (
                f"the gradient explodes: its norm is {growth:.3g} times the usual; "
                "usual cause: too large a --learning_rate, or damaged frames"
            )
        new = [f"step {step}: {line}" for name, line in alarms.items() if name not in self._alarmed]
        self._alarmed = set(alarms)
        return new

    def _gradient_growth(self, norm: float) -> float:
        """The norm over its median so far; infinite where it is not finite, 1 where there is too little to compare."""
        if not math.isfinite(norm):
            return math.inf
        self._gradient_norms.append(norm)
        if len(self._gradient_norms) < WINDOW:
            return 1.0
        return norm / max(statistics.median(self._gradient_norms), 1e-20)
