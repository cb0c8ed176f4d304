"""How far the camera moved from frame to frame, in metres: from KITTI's GPS/IMU, or from a table of speeds."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.integrate import cumulative_trapezoid

from kitti_eval.files import read_lines
from sfmlearner_tf.data.oxts import list_recorded_frames, read_camera_poses
from sfmlearner_tf.data.sequences import Frame, FrameSequence, Note, runs
from sfmlearner_tf.data.video import read_video_times
from sfmlearner_tf.errors import UserError

# The value of --speeds that means KITTI's own recordings.
OXTS = "oxts"
_COLUMNS = ["time_s", "speed_m_s"]
# No car drives faster.
_LARGEST_SPEED = 200.0


class SpeedTable(NamedTuple):
    """Speeds of the camera [n], metres a second, at times [n] that rise, seconds from the first frame on."""

    times_s: np.ndarray
    speeds_m_s: np.ndarray

    def path_m(self, times_s: np.ndarray) -> np.ndarray:
        """The way since the first time of the table, metres, the speed between its times being linear; NaN outside."""
        way = cumulative_trapezoid(self.speeds_m_s, self.times_s, initial=0)
        row = np.clip(np.searchsorted(self.times_s, times_s, side="right") - 1, 0, len(way) - 1)
        speed = np.interp(times_s, self.times_s, self.speeds_m_s, left=np.nan, right=np.nan)
        return way[row] + (times_s - self.times_s[row]) * (self.speeds_m_s[row] + speed) / 2


def read_speeds(path: str) -> SpeedTable:
    """Reads a CSV file with the columns time_s and speed_m_s.

    Raises:
        UserError: the file is missing or damaged, its times do not rise, or a speed is none of a car.
    """
    lines = read_lines(path, "a table of speeds")
    header = lines[0] if lines else ""
    if [name.strip() for name in header.split(",")] != _COLUMNS:
        raise UserError(f"{path}: expected the columns {','.join(_COLUMNS)}, found {reprlib.repr(header)}")
    numbers: list[tuple[float, float]] = []
    for line, text in enumerate(lines[1:], start=2):
        if not text.strip():
            continue
        try:
            time_s, speed = map(float, text.split(","))
        except ValueError:
            raise UserError(f"{path} line {line}: expected two numbers, found {reprlib.repr(text)}") from None
        if not (np.isfinite(time_s) and 0 <= speed <= _LARGEST_SPEED):
            expected = f"a time, and a speed of 0 to {_LARGEST_SPEED:g} m/s"
            raise UserError(f"{path} line {line}: expected {expected}, found {time_s:g} and {speed:g}")
        if numbers and time_s <= numbers[-1][0]:
            raise UserError(f"{path} line {line}: expected times that rise, found {time_s:g} after {numbers[-1][0]:g}")
        numbers.append((time_s, speed))
    if len(numbers) < 2:
        raise UserError(f"{path}: expected at least two rows, found {len(numbers)}")
    times_s, speeds = np.array(numbers).T
    return SpeedTable(times_s, speeds)


def locate(
    sequences: Iterable[FrameSequence],
    speeds: str,
    dataset_dir: str,
    frames_per_second: float | None,
    notes: list[Note],
) -> list[FrameSequence]:
    """The sequences with the position of each frame; those where it is not known are left out, with a note, and the
    frames before and after them are no neighbours.

    Args:
        speeds: OXTS for KITTI raw, or the path of a table for a video or images.
        frames_per_second: of images; a video has times of its own.

    Raises:
        UserError: what positions are made from is missing or damaged.
    """
    find = _oxts_positions(dataset_dir) if speeds == OXTS else _table_positions(read_speeds(speeds), frames_per_second)
    located = []
    for sequence in sequences:
        positions = find(sequence)
        known = np.isfinite(positions).all(axis=1)
        if not known.all():
            notes.append(Note("frames without a known position", sequence.folder, number=int((~known).sum())))
        for run in runs(np.flatnonzero(known).tolist()):
            frames = (sequence.frames[i]._replace(position_m=tuple(positions[i])) for i in run)
            located.append(replace(sequence, frames=tuple(frames)))
    return located


_Positions = Callable[[FrameSequence], np.ndarray]
"""Of the frames of a sequence: [n, 1] along the way, or [n, 3] in space, metres; NaN where it is not known."""


def _oxts_positions(dataset_dir: str) -> _Positions:
    def find(sequence: FrameSequence) -> np.ndarray:
        date_dir, camera = os.path.join(dataset_dir, sequence.recording[:10]), sequence.folder[-2:]
        recorded = list_recorded_frames(date_dir, sequence.recording)
        numbers = [int(frame.name) for frame in sequence.frames]
        there = [number for number in numbers if number in recorded]
        positions = np.full((len(numbers), 3), np.nan)
        if there:
            poses = read_camera_poses(date_dir, sequence.recording, camera, there)
            positions[np.isin(numbers, there)] = poses[:, :3, 3]
        return positions

    return find


def _table_positions(table: SpeedTable, frames_per_second: float | None) -> _Positions:
    def find(sequence: FrameSequence) -> np.ndarray:
        times_s = np.array(list(_times(sequence.frames, frames_per_second)))
        return table.path_m(times_s)[:, np.newaxis]

    return find


def _times(frames: tuple[Frame, ...], frames_per_second: float | None) -> Iterator[float]:
    of_video = read_video_times(frames[0].path)[0] if frames[0].video_index is not None else []
    for frame in frames:
        yield (
            of_video[frame.video_index] if frame.video_index is not None else int(frame.name) / (frames_per_second or 1)
        )


def measure_distances(positions_m: list[tuple[float, ...]], target: int) -> list[float]:
    """How far each other frame is from the one at index `target`, in order, metres."""
    places = np.array(positions_m)
    return list(np.delete(np.linalg.norm(places - places[target], axis=1), target))
