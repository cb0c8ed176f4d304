"""What every dataset is listed as: sequences of consecutive frames, and notes on what is missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.errors import UserError


class Intrinsics(NamedTuple):
    """A pinhole camera: focal lengths and principal point in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


class Frame(NamedTuple):
    """One frame, not yet decoded: its `name` in the output and the `path` of its image or video.

    position_m: of the camera, in space or along its way, where it was asked for and is known.
    """

    name: str
    path: str
    video_index: int | None = None
    position_m: tuple[float, ...] = ()


class Note(NamedTuple):
    """Something the user should know; `lost` if data that is there could not be used or written."""

    kind: str
    what: str
    lost: bool = False
    number: int = 1


@dataclass(frozen=True)
class FrameSequence:
    """Consecutive frames of one camera in temporal order.

    folder: in the output. recording: its name in lists of static frames. intrinsics: pixels, at full size.
    """

    folder: str
    recording: str
    frames: tuple[Frame, ...]
    intrinsics: Intrinsics

    @property
    def is_video(self) -> bool:
        """Whether the frames are those of a film, not files of their own."""
        return self.frames[0].video_index is not None

    def examples(self, seq_length: int) -> list[Example]:
        """One example for every frame that has seq_length // 2 frames on either side."""
        half = seq_length // 2
        return [Example(self.folder, frame.name) for frame in self.frames[half : len(self.frames) - half]]

    def cut(self, first: int, stop: int, seq_length: int) -> FrameSequence:
        """The part with the examples first .. stop - 1."""
        return replace(self, frames=self.frames[first : stop + seq_length - 1])


@dataclass(frozen=True)
class Selection:
    """Which frames of a recording are used, and which of them are neighbours.

    static: frames to leave out, by recording. split_at_gaps: frames on both sides of one that was left out or is
    missing are no neighbours in any dataset. allow_gaps: they are neighbours in every dataset.
    """

    static: Mapping[str, Collection[int]] = field(default_factory=dict)
    split_at_gaps: bool = False
    allow_gaps: bool = False


@dataclass
class Listing:
    """The contents of a dataset."""

    sequences: list[FrameSequence] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, kind: str, what: str, lost: bool = False, number: int = 1) -> None:
        """Adds what the user should know, see `Note`."""
        self.notes.append(Note(kind, what, lost, number))

    def add(
        self,
        folder: str,
        recording: str,
        frames: Mapping[int, Frame],
        intrinsics: Intrinsics,
        selection: Selection,
        step: int = 1,
        join_static: bool = False,
    ) -> None:
        """Adds the frames of one camera, given by number, as sequences in which the numbers rise by `step`.

        Leaves out the static frames of `recording`; with `join_static` those before and after them become neighbours,
        unless the selection forbids it. Splits at missing numbers, unless the selection allows gaps.

        Raises UserError for names that a list of examples cannot hold.
        """
        _check_names(folder, frames.values())
        static = set(selection.static.get(recording, ()))
        kept = sorted(frames.keys() - static)
        if len(kept) < len(frames):
            self.note("static frames left out", folder, number=len(frames) - len(kept))
        stretches = runs(kept, step, selection.allow_gaps)
        if join_static and not selection.split_at_gaps:
            whole = runs(sorted(frames), step, selection.allow_gaps)
            stretches = ([number for number in run if number not in static] for run in whole)
        self.sequences += [
            FrameSequence(folder, recording, tuple(frames[number] for number in run), intrinsics)
            for run in stretches
            if run
        ]


def _check_names(folder: str, frames: Iterable[Frame]) -> None:
    for name in (folder, *(frame.name for frame in frames)):
        if re.search(r"\s|[\ud800-\udfff]", name):
            raise UserError(f"{name!r}: expected a name of UTF-8 without spaces, as the lists need it: rename it")


def runs(numbers: list[int], step: int = 1, allow_gaps: bool = False) -> Iterator[list[int]]:
    """Splits ascending numbers into runs that rise by `step`; with allow_gaps, by `step` or a multiple of it."""
    phases = defaultdict(list)
    for number in numbers:
        phases[number % step].append(number)
    for phase in phases.values():
        gaps = [i for i in range(1, len(phase)) if phase[i] - phase[i - 1] != step and not allow_gaps]
        for first, stop in zip([0, *gaps], [*gaps, len(phase)]):
            yield phase[first:stop]


def shard(sequences: list[FrameSequence], seq_length: int, index: int, count: int) -> list[FrameSequence]:
    """Shard `index` (1 .. count): an equal share of the examples, with the frames they need."""
    total = sum(len(sequence.frames) - seq_length + 1 for sequence in sequences)
    first, stop = total * (index - 1) // count, total * index // count
    parts, offset = [], 0
    for sequence in sequences:
        length = len(sequence.frames) - seq_length + 1
        low, high = max(first - offset, 0), min(stop - offset, length)
        if low < high:
            parts.append(sequence.cut(low, high, seq_length))
        offset += length
    return parts
