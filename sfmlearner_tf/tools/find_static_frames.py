"""Finds the frames without camera motion, and lists them for prepare_train_data's --static_frames_file.

Uses the vehicle's speed if KITTI raw's oxts files exist, else the mean optical flow to the next frame on small grey
images (needs scikit-image: pip install 'sfmlearner_tf[static]').

    python tools/find_static_frames.py --dataset_dir=kitti_raw --dataset_name=kitti_raw --output=static_frames.txt

A frame of a drive with speeds that lacks its own is kept. Each line is "<date> <drive> <frame>", as in the release's
list, with "-" as the date of other recordings. For KITTI raw, prints precision and recall against the published list.
"""

from __future__ import annotations

import contextlib
import functools
import os

from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.files import write_whole
from kitti_eval.workers import ordered_map
from sfmlearner_tf.data import splits
from sfmlearner_tf.data.datasets import DATASETS, list_dataset
from sfmlearner_tf.data.sequences import FrameSequence, Intrinsics, Selection
from sfmlearner_tf.data.static import find_static
from sfmlearner_tf.errors import UserError

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset_dir", None, "Folder of the recordings, in the dataset's official layout.", required=True)
flags.DEFINE_enum("dataset_name", None, DATASETS, "Name of the dataset.", required=True)
flags.DEFINE_string("output", None, "File to write the list to.", required=True)
flags.DEFINE_float("max_speed", 1.3, "Speed in m/s below which a frame is static (oxts).", lower_bound=0)
flags.DEFINE_float("max_flow", 1.3, "Mean flow in pixels, at width 416, below which it is static.", lower_bound=0)
flags.DEFINE_integer("num_threads", 4, "Worker processes.", lower_bound=1)


def main() -> None:
    if not os.path.exists(FLAGS.dataset_dir):
        raise UserError(f"--dataset_dir: expected recordings, found no such folder: {FLAGS.dataset_dir}")
    # The intrinsics are not used.
    listing = list_dataset(
        FLAGS.dataset_name,
        FLAGS.dataset_dir,
        Selection(),
        lambda width, height: Intrinsics(width, width, 0, 0),
        calibrated=False,
    )
    sequences = _one_camera(listing.sequences)
    if not sequences:
        raise UserError(f"--dataset_dir={FLAGS.dataset_dir}: expected frames of {FLAGS.dataset_name}, found none")
    found: dict[str, set[int]] = {sequence.recording: set() for sequence in sequences}
    search = functools.partial(find_static, max_speed=FLAGS.max_speed, max_flow=FLAGS.max_flow)
    total = sum(len(sequence.frames) for sequence in sequences)
    results = ordered_map(search, sequences, FLAGS.num_threads)
    with contextlib.closing(results), tqdm(total=total, unit=" frames", disable=None) as progress:
        for sequence, (numbers, notes) in results:
            found[sequence.recording].update(numbers)
            listing.notes += notes
            progress.update(len(sequence.frames))
    _write(found)
    for note in listing.notes:
        print(f"{note.kind}: {note.what}")
    print(f"{sum(map(len, found.values()))} of {total} frames are static, listed in {FLAGS.output}")
    _compare(found)


def _one_camera(sequences: list[FrameSequence]) -> list[FrameSequence]:
    """The sequences of the first camera of every recording: the others move with it."""
    first = {sequence.recording: sequence.folder for sequence in reversed(sequences)}
    return [sequence for sequence in sequences if sequence.folder == first[sequence.recording]]


def _write(found: dict[str, set[int]]) -> None:
    is_kitti_raw = FLAGS.dataset_name.startswith("kitti_raw")
    lines = [
        f"{recording[:10] if is_kitti_raw else '-'} {recording} {number:010d}\n"
        for recording, numbers in sorted(found.items())
        for number in sorted(numbers)
    ]
    try:
        write_whole(FLAGS.output, "".join(lines).encode())
    except OSError as error:
        raise UserError(f"--output: expected a writable file, found {FLAGS.output}: {error.strerror}") from None


def _compare(found: dict[str, set[int]]) -> None:
    published = {drive: set(numbers) for drive, numbers in splits.static_frames().items() if drive in found}
    both = sum(len(numbers & found[drive]) for drive, numbers in published.items())
    if both:
        # A drive that the list lacks has no static frame in it.
        precision = both / sum(map(len, found.values()))
        recall = both / sum(map(len, published.values()))
        print(f"published list, {len(found)} drives: precision {precision:.3f}, recall {recall:.3f}")


def cli() -> None:
    command.run(main)


if __name__ == "__main__":
    cli()
