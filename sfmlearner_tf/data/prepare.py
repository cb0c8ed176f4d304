"""Turns sequences into training examples in one pass: each frame is decoded and resized once, for any seq_length.

A sequence is cut into parts for the worker processes. A worker slides a window over its part, writes the examples in
it, and returns the first and last frames; from these the main process makes the few examples that span two parts.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import reprlib
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from tqdm import tqdm

from kitti_eval.files import read_json, write_whole
from kitti_eval.locks import open_locked
from kitti_eval.workers import ordered_map
from sfmlearner_tf.data.formatted import DISTANCES, JPEG_QUALITY, OBJECTS, Example, is_complete, write_example
from sfmlearner_tf.data.frames import Geometry, LoadedFrame, load_frames
from sfmlearner_tf.data.masks import MaskFolder, number_objects
from sfmlearner_tf.data.odometer import measure_distances
from sfmlearner_tf.data.sequences import FrameSequence, Note, runs
from sfmlearner_tf.errors import UserError

# Frames. Long enough to return few of them, short enough to keep all workers busy and the progress bar moving.
PART_LENGTH = 32
OPTIONS_FILE = "prepared_with.json"


@dataclass(frozen=True)
class Recipe:
    """How examples are made from frames, and where they are written."""

    dump_root: str
    seq_length: int
    geometry: Geometry
    jpeg_quality: int = JPEG_QUALITY
    masks: MaskFolder | None = None
    with_distances: bool = False

    @property
    def further(self) -> list[str]:
        """The names of FURTHER_FILES that are made."""
        return [name for name, asked in ((OBJECTS, self.masks), (DISTANCES, self.with_distances)) if asked]

    def is_complete(self, example: Example) -> bool:
        """Whether all that is made of the example is there and complete."""
        return is_complete(self.dump_root, example, self.further)


class Part(NamedTuple):
    """A stretch of one sequence, `follows` if it continues the part before it; or all sequences of one video."""

    sequences: list[FrameSequence]
    follows: bool


class Made(NamedTuple):
    """What a worker returns: the part's first and last seq_length - 1 frames, and notes on what went wrong."""

    first: list[LoadedFrame | None]
    last: list[LoadedFrame | None]
    notes: list[Note]


def claim_folder(
    dump_root: str, options: Mapping[str, Any], dataset_dir: str = "", sequences: Sequence[FrameSequence] = ()
) -> None:
    """Records the options and some frames of the recordings in the folder, which is created if needed.

    Raises UserError if it was prepared with different or unknown options or from other recordings.
    """
    path = os.path.join(dump_root, OPTIONS_FILE)
    if not _has_content(path) and os.path.exists(os.path.join(dump_root, "train.txt")):
        raise UserError(f"dump_root: expected a new folder, found a train.txt without {OPTIONS_FILE} in {dump_root}")
    try:
        os.makedirs(dump_root, exist_ok=True)
        # Of several processes, such as shards, that begin at once the first one writes and the others compare.
        with open_locked(path):
            if not _has_content(path):
                content = {**options, "recordings": _sample(dataset_dir, sequences)}
                write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise UserError(f"dump_root: expected a writable folder, found {dump_root}: {error.strerror}") from None
    found = read_options(dump_root)
    for name, value in options.items():
        if found.get(name) != value:
            raise UserError(
                f"{name}: expected {found.get(name)!r}, with which {dump_root} was prepared, found {value!r} "
                "(use another dump_root for other options)"
            )
    # Folders from before the recordings were recorded are taken at their word.
    sample = found.get("recordings") or {}
    if sample and not any(_digest(os.path.join(dataset_dir, name)) == digest for name, digest in sample.items()):
        raise UserError(
            f"dataset_dir: expected the recordings with which {dump_root} was prepared, found others in {dataset_dir} "
            "(use another dump_root for other recordings)"
        )


def read_options(dump_root: str) -> dict[str, Any]:
    """The options with which a folder was prepared. Raises UserError."""
    path = os.path.join(dump_root, OPTIONS_FILE)
    found = read_json(path, "the options of an earlier run")
    if not isinstance(found, dict) or not isinstance(found.get("recordings", {}), dict):
        raise UserError(f"{path}: expected the options of an earlier run, found {reprlib.repr(found)}")
    # Folders prepared before these options existed do not name them.
    defaults = {
        "jpeg_quality": JPEG_QUALITY,
        "split_at_gaps": not found.get("allow_gaps"),
        "masks": None,
        "speeds": None,
        "min_flow_px": None,
        "max_flow_px": None,
    }
    return {**defaults, **found}


def _has_content(path: str) -> bool:
    return os.path.exists(path) and os.path.getsize(path) > 0


def _sample(dataset_dir: str, sequences: Sequence[FrameSequence]) -> dict[str, str]:
    """The digests of three frames by their path in `dataset_dir`, which tell recordings apart wherever they are.

    Three, so that repairing a damaged one does not make other recordings of them.
    """
    frames = sequences[0].frames if sequences else ()
    paths = [frames[index].path for index in (0, len(frames) // 2, -1) if frames]
    return {os.path.relpath(path, dataset_dir): digest for path in paths if (digest := _digest(path))}


def _digest(path: str) -> str:
    """Tells files apart by their size and first megabyte; empty for what is no file or cannot be read."""
    # A video's path in its dataset_dir, which it is itself, is ".".
    path = os.path.normpath(path)
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return hashlib.sha256(b"%d " % os.path.getsize(path) + file.read(2**20)).hexdigest()[:16]
    return ""


def unfinished(sequences: Iterable[FrameSequence], recipe: Recipe) -> list[FrameSequence]:
    """The parts of the sequences whose examples are missing or incomplete."""
    parts = []
    for sequence in sequences:
        if not os.path.isdir(os.path.join(recipe.dump_root, sequence.folder)):
            parts.append(sequence)
            continue
        examples = enumerate(sequence.examples(recipe.seq_length))
        missing = [index for index, example in examples if not recipe.is_complete(example)]
        stretches = runs(missing, allow_gaps=sequence.is_video)
        parts += [sequence.cut(run[0], run[-1] + 1, recipe.seq_length) for run in stretches]
    return parts


def make_examples(sequences: list[FrameSequence], recipe: Recipe, num_threads: int = 1) -> Iterator[Note]:
    """Makes every example of the sequences with `num_threads` worker processes; yields a note for whatever goes wrong.

    A damaged frame or a file that cannot be written costs only the examples it belongs to.
    """
    last: list[LoadedFrame | None] = []
    total = sum(len(sequence.frames) for sequence in sequences)
    parts = _parts(sequences, recipe.seq_length)
    results = ordered_map(functools.partial(_make_part, recipe=recipe), parts, num_threads)
    with contextlib.closing(results), tqdm(total=total, unit=" frames", disable=None) as progress:
        for part, made in results:
            yield from made.notes
            if part.follows:
                across = [*last, *made.first]
                for start in range(len(across) - recipe.seq_length + 1):
                    yield from _make_example(across[start : start + recipe.seq_length], part.sequences[0], recipe)
            last = made.last
            progress.update(sum(len(sequence.frames) for sequence in part.sequences))


def _parts(sequences: Iterable[FrameSequence], seq_length: int) -> Iterator[Part]:
    # A video can only be read from its beginning, so it is read once for all of its sequences.
    for video, group in groupby(sequences, lambda sequence: sequence.is_video and sequence.frames[0].path):
        if video:
            yield Part(list(group), follows=False)
            continue
        for sequence in group:
            length = len(sequence.frames)
            count = max(1, length // max(PART_LENGTH, seq_length))
            for index in range(count):
                frames = sequence.frames[length * index // count : length * (index + 1) // count]
                yield Part([replace(sequence, frames=frames)], follows=index > 0)


def _make_part(part: Part, recipe: Recipe) -> Made:
    reach = recipe.seq_length - 1
    first: list[LoadedFrame | None] = []
    windows: list[deque[LoadedFrame | None]] = [deque(maxlen=recipe.seq_length) for _ in part.sequences]
    members = defaultdict(list)
    for number, sequence in enumerate(part.sequences):
        for frame in sequence.frames:
            members[frame].append(number)
    frames = sorted(members, key=lambda frame: frame.video_index or 0)
    notes: list[Note] = []
    for frame, loaded in zip(frames, load_frames(tuple(frames), recipe.geometry, notes, recipe.masks)):
        if len(first) < reach:
            first.append(loaded)
        for number in members[frame]:
            windows[number].append(loaded)
            if len(windows[number]) == recipe.seq_length:
                notes += _make_example(list(windows[number]), part.sequences[number], recipe)
    return Made(first, list(windows[0])[-reach:], notes)


def _make_example(window: list[LoadedFrame | None], sequence: FrameSequence, recipe: Recipe) -> list[Note]:
    loaded = [frame for frame in window if frame]
    if len(loaded) < len(window):
        return []
    target = loaded[len(loaded) // 2]
    example = Example(sequence.folder, target.name)
    if len({frame.full_size for frame in loaded}) > 1:
        return [Note("frames of different sizes", f"{example.folder} {example.frame}", lost=True)]
    camera = recipe.geometry.scale(sequence.intrinsics, target.full_size)
    masks = [frame.objects for frame in loaded if frame.objects is not None]
    objects = number_objects(masks, recipe.masks.tracked) if recipe.masks else ()
    images = [frame.image for frame in loaded]
    positions_m = [frame.position_m for frame in loaded]
    distances_m = measure_distances(positions_m, len(loaded) // 2) if recipe.with_distances else ()
    try:
        write_example(recipe.dump_root, example, images, camera, recipe.jpeg_quality, objects, distances_m)
    except OSError as error:
        path = example.image_path(recipe.dump_root)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{path}: {error.strerror}; make room and run the same command again") from None
        return [Note("not written", f"{path}: {error.strerror}", lost=True)]
    return []
