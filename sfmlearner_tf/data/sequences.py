"""What every source of recordings yields: sequences of neighbouring frames, and notes on what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sfmlearner_tf.data.formatted import Example


class Intrinsics(NamedTuple):
    """A pinhole camera: focal lengths and principal point in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


class Frame(NamedTuple):
    """One frame, not yet decoded: its `name` in the output, and the `path` of the image or the video that holds it."""

    name: str
    path: str
    video_index: int | None = None


class Note(NamedTuple):
    """Something that the user should know; `lost` where data is damaged or could not be written, not merely absent."""

    kind: str
    what: str
    lost: bool = False
    number: int = 1


@dataclass(frozen=True)
class Sequence:
    """Frames of one camera in temporal order, each the neighbour of the next.

    `folder` is the output's, `recording` what lists of static frames call it; `intrinsics` are in pixels at full size.
    """

    folder: str
    recording: str
    frames: tuple[Frame, ...]
    intrinsics: Intrinsics

    @property
    def is_video(self) -> bool:
        return self.frames[0].video_index is not None

    def examples(self, seq_length: int) -> list[Example]:
        """One example for every frame that has seq_length // 2 frames on either side."""
        half = seq_length // 2
        return [Example(self.folder, frame.name) for frame in self.frames[half : len(self.frames) - half]]

    def cut(self, first: int, stop: int, seq_length: int) -> Sequence:
        """The part that yields the examples first .. stop-1."""
        return replace(self, frames=self.frames[first : stop + seq_length - 1])


@dataclass(frozen=True)
class Selection:
    """Which frames of a recording are used."""

    static: Mapping[str, Collection[int]] = field(default_factory=dict)
    allow_gaps: bool = False


@dataclass
class Listing:
    """What a dataset holds."""

    sequences: list[Sequence] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, kind: str, what: str, lost: bool = False, number: int = 1) -> None:
        self.notes.append(Note(kind, what, lost, number))

    def add(
        self,
        folder: str,
        recording: str,
        frames: Mapping[int, Frame],
        intrinsics: Intrinsics,
        selection: Selection,
        step: int = 1,
    ) -> None:
        """Adds the frames of one camera, given by number, as sequences in which each number is `step` above the last.

        Static frames of `recording` are left out. Missing numbers part two sequences, unless gaps are allowed.
        """
        kept = sorted(frames.keys() - set(selection.static.get(recording, ())))
        if len(kept) < len(frames):
            self.note("static frames left out", folder, number=len(frames) - len(kept))
        self.sequences += [
            Sequence(folder, recording, tuple(frames[number] for number in run), intrinsics)
            for run in runs(kept, step, selection.allow_gaps)
        ]


def runs(numbers: list[int], step: int = 1, allow_gaps: bool = False) -> Iterator[list[int]]:
    """Cuts rising numbers into stretches in which each is `step` above the last one; with allow_gaps, or more."""
    phases = defaultdict(list)
    for number in numbers:
        phases[number % step].append(number)
    for phase in phases.values():
        gaps = [i for i in range(1, len(phase)) if phase[i] - phase[i - 1] != step and not allow_gaps]
        for first, stop in zip([0, *gaps], [*gaps, len(phase)]):
            yield phase[first:stop]


def shard(sequences: list[Sequence], seq_length: int, index: int, count: int) -> list[Sequence]:
    """Part `index` (1 .. count) of the work: an equal share of the examples, with the frames that they need."""
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
