"""Snippets: short pieces of a trajectory, one TUM file each, on which the paper evaluates camera motion."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval import files
from kitti_eval.errors import UserError
from kitti_eval.locks import lock_folder
from kitti_eval.pose_files import TimedPoses, format_tum, read_kitti, read_times, read_tum
from kitti_eval.pose_metrics import compute_snippet_ate
from kitti_eval.trajectory import chain_motions, compute_motions, compute_scale, make_relative

# Times closer than this belong to the same frame; KITTI's frames are 0.1 s apart.
SAME_FRAME_S = 0.01
# Lies in a folder of snippets that `write_snippets` wrote; says whether they are all there.
_STATE_FILE = ".snippets"
_UNFINISHED, _COMPLETE = "unfinished\n", "complete\n"


class SnippetSummary(NamedTuple):
    """The paper's ATE, metres: mean and standard deviation (over N, not N - 1), and the number of snippets.

    unpredicted: names of snippets with ground truth but no prediction of two poses; they are not in the mean.
    """

    mean: float
    std: float
    snippets: int
    unpredicted: list[str]


def read_sequence(dataset_dir: Path, sequence: str) -> TimedPoses:
    """The true poses and times of a KITTI odometry sequence such as "09". Raises UserError if they do not match."""
    poses_path = dataset_dir / "poses" / f"{sequence}.txt"
    times_path = find_times_file(dataset_dir, sequence)
    poses, times_s = read_kitti(poses_path), read_times(times_path)
    if len(poses) != len(times_s):
        raise UserError(
            f"{poses_path}: expected {len(times_s)} poses, one per time in {times_path}, found {len(poses)}"
        )
    return TimedPoses(poses, times_s)


def find_times_file(dataset_dir: Path, sequence: str) -> Path:
    """times.txt of a KITTI odometry sequence such as "09"."""
    return dataset_dir / "sequences" / sequence / "times.txt"


def cut_snippets(poses: np.ndarray, length: int) -> np.ndarray:
    """All `length` consecutive poses of [N, 4, 4], relative to their first: [N - length + 1, length, 4, 4].

    Raises ValueError if `length` is even, below 3 or above N.
    """
    if length < 3 or length % 2 == 0 or length > len(poses):
        raise ValueError(f"a snippet must have an odd number of frames from 3 to {len(poses)}, got {length}")
    count = len(poses) - length + 1
    return np.stack([make_relative(poses[first : first + length]) for first in range(count)])


def name_sequences(flag: str, texts: Sequence[str]) -> list[str]:
    """The folders' names of sequences given by number: "09" for "9". Raises UserError for anything else, and none."""
    wrong = next((text for text in texts if not re.fullmatch("[0-9]{1,4}", text)), None if texts else "")
    if wrong is not None:
        raise UserError(f"--{flag}: expected numbers of sequences such as 9,10, found {wrong!r}")
    return [f"{int(text):02d}" for text in texts]


def write_snippets(
    folder: Path, snippets: Iterable[np.ndarray], times_s: np.ndarray, firsts: Sequence[int] | None = None
) -> None:
    """Writes one file per snippet [n, 4, 4], named by the index of its first frame; `times_s`: [N], of all frames.

    firsts: those indices; None for 0, 1, 2 and so on.

    They take the place of those that were written there before, once all of `snippets` are known; other files stay.
    Until the last one is written, the folder is refused by whatever reads snippets.

    Raises UserError if the folder holds other text files, which an evaluation would mistake for snippets.
    """
    with lock_folder(folder):
        before = _find_own(folder)
        texts = {
            first: format_tum(poses, times_s[first : first + len(poses)])
            for first, poses in zip(itertools.count() if firsts is None else firsts, snippets)
        }
        files.write_text(folder / _STATE_FILE, _UNFINISHED)
        for path in before:
            path.unlink()
        for first, text in texts.items():
            files.write_text(folder / _name_snippet(first), text)
        files.write_text(folder / _STATE_FILE, _COMPLETE)


def evaluate_snippets(gtruth_dir: Path, pred_dir: Path) -> tuple[dict[str, float], SnippetSummary]:
    """The paper's ATE of every predicted snippet of at least two poses by file name, and the summary.

    Raises UserError if there is no such prediction, a file is damaged, or the times of two files do not match.
    """
    truths, predictions = (_list_snippets(folder) for folder in (gtruth_dir, pred_dir))
    ates = {}
    for name, path in predictions.items():
        if name not in truths:
            raise UserError(f"{path}: there is no ground truth of this name in {gtruth_dir}")
        gt, pred = (read_tum(snippet) for snippet in (truths[name], path))
        if len(pred.poses) < 2:
            continue  # Parity: left out (test_snippets.py); others' systems lose frames, and one pose has no error.
        matched = match_times(gt.times_s, pred.times_s, path)
        ates[name] = compute_snippet_ate(gt.poses[matched, :3, 3], pred.poses[:, :3, 3])
    if not ates:
        raise UserError(f"{pred_dir}: expected snippets of at least two poses, found none")
    return ates, summarize_ates(ates.values(), [name for name in truths if name not in ates])


def read_snippets(folder: Path) -> list[TimedPoses]:
    """The snippets 000000.txt, 000001.txt, ... of a folder.

    Raises UserError if one is missing or has another length.
    """
    paths = _list_snippets(folder)
    expected = [_name_snippet(index) for index in range(len(paths))]
    if list(paths) != expected:
        first = next(name for name in expected if name not in paths)
        raise UserError(f"{folder}: expected snippets numbered without a gap from 000000.txt on, found no {first}")
    snippets = [read_tum(path) for path in paths.values()]
    lengths = {len(snippet.poses) for snippet in snippets}
    if len(lengths) > 1:
        raise UserError(f"{folder}: expected snippets of one length, found {sorted(lengths)} frames")
    return snippets


def chain_snippets(snippets: list[TimedPoses], gt: np.ndarray | None = None) -> TimedPoses:
    """Chains snippets, each starting one frame after the one before, to one trajectory.

    The motion from a frame to the next comes from the snippet with that frame in the middle, because the network
    predicts it directly; the ends come from the first and last snippet. Motions are chained as predicted, unless the
    true poses `gt` [N, 4, 4] are given: then each snippet is first scaled to them, as in the paper's snippet error.
    """
    count, length = len(snippets), len(snippets[0].poses)
    middle = length // 2
    motions, times_s = [], [snippets[0].times_s[0]]
    for frame in range(count + length - 2):
        index = min(max(frame - middle, 0), count - 1)
        snippet = snippets[index]
        motion = compute_motions(snippet.poses[frame - index : frame - index + 2])[0]
        if gt is not None:
            truth = make_relative(gt[index : index + length])
            motion[:3, 3] *= compute_scale(truth[:, :3, 3], make_relative(snippet.poses)[:, :3, 3])
        motions.append(motion)
        times_s.append(snippet.times_s[frame - index + 1])
    return TimedPoses(chain_motions(np.array(motions)), np.array(times_s))


def compute_mean_positions(snippets: Iterable[np.ndarray]) -> np.ndarray:
    """The paper's "Mean Odom.": the mean path [n, 3] of the snippets [N, n, 4, 4] of several sequences."""
    return np.concatenate([sequence[..., :3, 3] for sequence in snippets]).mean(axis=0)


def summarize_ates(ates: Iterable[float], unpredicted: Sequence[str] = ()) -> SnippetSummary:
    """Mean and standard deviation of the errors of one or more snippets."""
    values = np.array(list(ates))
    return SnippetSummary(float(values.mean()), float(values.std()), values.size, list(unpredicted))


def match_times(gt_times_s: np.ndarray, times_s: np.ndarray, path: Path) -> np.ndarray:
    """For each of `times_s` [N], the index of the same frame in the ascending `gt_times_s` [M].

    Raises UserError, naming `path`, if there is none.
    """
    nearest = find_nearest(gt_times_s, times_s)
    apart = np.abs(gt_times_s[nearest] - times_s)
    if apart.max() > SAME_FRAME_S:
        raise UserError(
            f"{path}: expected the times of the ground truth; {times_s[apart.argmax()]} s is not among them"
        )
    return nearest


def find_nearest(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each of `values` [N] the index of the nearest in `ascending` [M], the first of two that are as near."""
    return np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)


def _list_snippets(folder: Path) -> dict[str, Path]:
    """The text files of a folder by name, in order. Raises UserError if there are none, or not yet all."""
    paths = sorted(folder.glob("*.txt"))
    state = folder / _STATE_FILE
    if state.is_file() and files.read_text(state, "the state of the snippets") == _UNFINISHED:
        raise UserError(f"{folder}: expected all snippets, found those of a command that was stopped; run it again")
    if not paths:
        raise UserError(f"{folder}: expected a folder of snippets (*.txt), found none")
    return {path.name: path for path in paths}


def _name_snippet(first_frame: int) -> str:
    return f"{first_frame:06d}.txt"


def _find_own(folder: Path) -> list[Path]:
    """The snippets that `write_snippets` left in the folder. Raises UserError if it holds other text files."""
    paths = sorted(folder.glob("*.txt"))
    written_here = (folder / _STATE_FILE).is_file()
    others = [path.name for path in paths if not (written_here and re.fullmatch(r"[0-9]{6,}\.txt", path.name))]
    if others:
        raise UserError(
            f"{folder}: expected no text files but snippets that were written there before, found {others[0]}"
        )
    return paths
