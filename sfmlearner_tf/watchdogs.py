"""Watches training for known ways of going wrong: constant depth, no motion, exploding poses and the like.

A look takes readings of one training step. Each watch compares the median of the latest looks with its limit, so one
odd batch raises no alarm. Most watches begin some hundred steps into training, because untrained networks predict
constant depth and no motion.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

READINGS = (
    "depth_spread",
    "bottom_nearness",
    "translation",
    "rotation_rad",
    "in_view",
    "mask",
    "identical_frames",
    "gradient_norm",
)
# Looks whose median is judged.
WINDOW = 10
# Looks before those whose median is the usual size of a reading.
USUAL_LOOKS = 300


class Watch(NamedTuple):
    """One way of going wrong.

    The alarm is raised when the median of `reading` is `wrong` ("below" or "above") of `limit`. It can be raised again
    after the median was on the other side of `clear`, which lies well inside the healthy range.
    """

    name: str
    reading: str
    wrong: Literal["below", "above"]
    limit: float
    clear: float
    seen: str
    cause: str
    # Judged from the first looks on, not only after `watch_after`.
    from_start: bool = False
    # The limits are multiples of the reading's usual size.
    relative: bool = False

    def is_wrong(self, value: float) -> bool:
        """Whether the alarm is due."""
        return value < self.limit if self.wrong == "below" else value > self.limit

    def is_clear(self, value: float) -> bool:
        """Whether training has recovered."""
        return value > self.clear if self.wrong == "below" else value < self.clear


# The limits lie far from the readings of healthy runs (docs/learning.md).
WATCHES = (
    Watch(
        name="constant_depth",
        reading="depth_spread",
        wrong="below",
        limit=0.01,
        clear=0.02,
        seen="depth is constant over the image: the standard deviation of log depth is {:.2g}",
        cause="too large a smooth_weight or learning_rate, or frames without parallax",
    ),
    Watch(
        name="extreme_depth",
        reading="depth_spread",
        wrong="above",
        limit=2.0,
        clear=1.3,
        seen="depth takes only its smallest and largest values: the standard deviation of log depth is {:.2g}",
        cause="too large a learning_rate, or objects that move along with the camera",
    ),
    Watch(
        name="upside_down",
        reading="bottom_nearness",
        wrong="below",
        limit=-0.1,
        clear=0.1,
        seen="depth is upside down: the bottom of the image is farther than the top, log disparity differs by {:.2g}",
        cause="too little camera motion, objects that move along with the camera, or frames that are upside down",
    ),
    Watch(
        name="no_motion",
        reading="translation",
        wrong="below",
        limit=1e-4,
        clear=2e-4,
        seen="the camera does not move: translation is {:.2g} of the depth",
        cause="static frames in the data, which find_static_frames lists, or wrong intrinsics",
    ),
    Watch(
        name="exploding_translation",
        reading="translation",
        wrong="above",
        limit=1.0,
        clear=0.5,
        seen="poses explode: translation is {:.2g} times the depth",
        cause="too large a learning_rate, or too much motion between frames",
    ),
    Watch(
        name="exploding_rotation",
        reading="rotation_rad",
        wrong="above",
        limit=0.5,
        clear=0.25,
        seen="poses explode: rotation is {:.2g} rad",
        cause="too large a learning_rate, or neighbouring frames that do not show the same place",
    ),
    Watch(
        name="out_of_view",
        reading="in_view",
        wrong="below",
        limit=0.5,
        clear=0.75,
        seen="most pixels are projected outside the source image: {:.0%} fall inside",
        cause="wrong intrinsics, too much motion between frames, or mask_out_of_view with too large a learning_rate",
    ),
    Watch(
        name="empty_masks",
        reading="mask",
        wrong="below",
        limit=0.02,
        clear=0.04,
        seen="the explainability masks are 0 everywhere: their mean is {:.2g}",
        cause="too small an explain_reg_weight, which makes explaining nothing the cheapest solution",
    ),
    Watch(
        name="identical_frames",
        reading="identical_frames",
        wrong="above",
        limit=0.5,
        clear=0.25,
        seen="in {:.0%} of the examples the target and its sources are the same picture",
        cause="a standing camera or repeated frames, which find_static_frames lists, or too small a frame_step",
        from_start=True,
    ),
    Watch(
        name="exploding_gradient",
        reading="gradient_norm",
        wrong="above",
        limit=50.0,
        clear=25.0,
        seen="the gradient explodes: its norm is {:.3g} times the usual",
        cause="too large a learning_rate, or damaged frames",
        from_start=True,
        relative=True,
    ),
)
WATCH_NAMES: tuple[str, ...] = tuple(watch.name for watch in WATCHES)


class Watchdogs:
    """Raises alarms when training goes wrong; an alarm is repeated only if training recovered in between.

    Args:
        watch_after: first step at which constant depth, no motion and the like count as going wrong.
        off: names out of `WATCH_NAMES` of watches to switch off. Switch off "upside_down" for a drone, for example:
            what it sees at the bottom of the image need not be nearer than what it sees at the top.

    Raises:
        ValueError: `off` has a name that no watch has.
    """

    def __init__(self, watch_after: int = 500, off: Iterable[str] = ()) -> None:
        switched_off = set(off)
        unknown = sorted(switched_off - set(WATCH_NAMES))
        if unknown:
            raise ValueError(f"off must hold names out of {', '.join(WATCH_NAMES)}, got {', '.join(unknown)}")
        self.watch_after = watch_after
        self._watches = [watch for watch in WATCHES if watch.name not in switched_off]
        self._history = {name: deque[float](maxlen=USUAL_LOOKS + WINDOW) for name in READINGS}
        self._alarmed: set[str] = set()

    def look(self, step: int, readings: Mapping[str, float]) -> list[str]:
        """Takes a look at one step of training.

        Args:
            readings: a value for each of `READINGS`, as of `SfMLearner.watched_step`; NaN counts as infinite.

        Returns:
            One line for each new alarm, such as "step 690: <what is seen>; usual cause: <cause> (<name>)".
        """
        for name, history in self._history.items():
            history.append(math.inf if math.isnan(readings[name]) else readings[name])
        due = [watch for watch in self._watches if watch.from_start or step >= self.watch_after]
        alarms = [self._judge(watch) for watch in due]
        return [f"step {step}: {alarm}" for alarm in alarms if alarm]

    def _judge(self, watch: Watch) -> str | None:
        """The alarm of one watch; None if there is none, or if it was raised before and training did not recover."""
        value = self._typical(watch)
        if value is None:
            return None
        if watch.name in self._alarmed:
            if watch.is_clear(value):
                self._alarmed.remove(watch.name)
            return None
        if not watch.is_wrong(value):
            return None
        self._alarmed.add(watch.name)
        return f"{watch.seen.format(value)}; usual cause: {watch.cause} ({watch.name})"

    def _typical(self, watch: Watch) -> float | None:
        """The median of the latest looks, divided by the usual size if relative; None after too few looks."""
        history = list(self._history[watch.reading])
        earlier, latest = history[:-WINDOW], history[-WINDOW:]
        if len(latest) < WINDOW:
            return None
        value = statistics.median(latest)
        if not watch.relative:
            return value
        if len(earlier) < WINDOW:
            return None
        # Infinite over infinite would be NaN, which no limit catches.
        return value if math.isinf(value) else value / max(statistics.median(earlier), 1e-20)
