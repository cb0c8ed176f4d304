"""Turns recordings into the training format: strips of seq_length frames, intrinsics, train.txt and val.txt.

  kitti_raw_eigen   KITTI raw without the test scenes of Eigen et al.
  kitti_raw_stereo  KITTI raw without the scenes of the 2015 stereo benchmark
  kitti_raw         every drive of KITTI raw under --dataset_dir

    python tools/prepare_train_data.py --dataset_dir=kitti_raw --dataset_name=kitti_raw_eigen \\
        --dump_root=formatted --seq_length=3

What is missing is reported and counted. A second run skips what is done and repairs what is not. The exit status is 1
where data was lost.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from absl import flags

from sfmlearner_tf import command
from sfmlearner_tf.command import UserError
from sfmlearner_tf.data import splits
from sfmlearner_tf.data.formatted import write_splits
from sfmlearner_tf.data.frames import Geometry
from sfmlearner_tf.data.kitti_raw import list_kitti_raw
from sfmlearner_tf.data.prepare import Recipe, claim_folder, make_examples, unfinished
from sfmlearner_tf.data.sequences import Listing, Note, Selection, Sequence

SMALLEST_SIDE = 32
NAMES_SHOWN = 10

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset_dir", None, "Folder of the recordings, in the dataset's official layout.", required=True)
flags.DEFINE_enum(
    "dataset_name", None, ["kitti_raw_eigen", "kitti_raw_stereo", "kitti_raw"], "What lies there.", required=True
)
flags.DEFINE_string("dump_root", None, "Folder that the training data is written to.", required=True)
flags.DEFINE_integer(
    "seq_length", None, "Frames of an example, an odd number; the middle one is the target.", required=True
)
flags.DEFINE_integer("img_height", 128, "Height that frames are resized to, in pixels.")
flags.DEFINE_integer("img_width", 416, "Width that frames are resized to, in pixels.")
flags.DEFINE_integer("num_threads", 4, "Worker processes.")
flags.DEFINE_bool("keep_static_frames", False, "Use frames without camera motion, too.")
flags.DEFINE_bool("allow_gaps", False, "Join the frames on both sides of a gap, as the release does.")


def main() -> None:
    _check_flags()
    recipe = Recipe(FLAGS.dump_root, FLAGS.seq_length, Geometry(FLAGS.img_width, FLAGS.img_height, FLAGS.img_height))
    listing = _list_dataset()
    sequences = _long_enough(listing)
    claim_folder(FLAGS.dump_root, _options())
    todo = unfinished(sequences, recipe)
    notes = listing.notes + list(make_examples(todo, recipe, FLAGS.num_threads))
    wanted = [example for sequence in sequences for example in sequence.examples(FLAGS.seq_length)]
    train, val = write_splits(FLAGS.dump_root, wanted)
    _print_notes(notes)
    print(f"{sum(len(sequence.frames) for sequence in todo)} frames decoded")
    print(f"{train + val} examples in {FLAGS.dump_root}: {train} in train.txt, {val} in val.txt")
    if any(note.lost for note in notes):
        raise UserError(
            f"{len(wanted) - train - val} of {len(wanted)} examples lost: mend what is named above, run again"
        )


def _check_flags() -> None:
    if FLAGS.seq_length < 3 or FLAGS.seq_length % 2 == 0:
        raise UserError(f"--seq_length: expected an odd number from 3 on, found {FLAGS.seq_length}")
    for name in ("img_height", "img_width"):
        if getattr(FLAGS, name) < SMALLEST_SIDE:
            raise UserError(f"--{name}: expected at least {SMALLEST_SIDE} pixels, found {getattr(FLAGS, name)}")
    if FLAGS.num_threads < 1:
        raise UserError(f"--num_threads: expected at least 1, found {FLAGS.num_threads}")
    if not os.path.isdir(FLAGS.dataset_dir):
        raise UserError(f"--dataset_dir: expected a folder, found no such folder: {FLAGS.dataset_dir}")


def _list_dataset() -> Listing:
    static = {} if FLAGS.keep_static_frames else splits.static_frames()
    split = FLAGS.dataset_name[len("kitti_raw_") :]
    held_out = splits.held_out_scenes(split) if split else None
    return list_kitti_raw(FLAGS.dataset_dir, Selection(static, FLAGS.allow_gaps), held_out)


def _long_enough(listing: Listing) -> list[Sequence]:
    """The sequences that yield an example; the others' frames are noted."""
    for sequence in listing.sequences:
        if len(sequence.frames) < FLAGS.seq_length:
            first = sequence.frames[0].name
            listing.note(
                "frames in stretches too short", f"{sequence.folder} from {first}", number=len(sequence.frames)
            )
    sequences = [sequence for sequence in listing.sequences if len(sequence.frames) >= FLAGS.seq_length]
    if not sequences:
        _print_notes(listing.notes)
        raise UserError(
            f"--dataset_dir={FLAGS.dataset_dir}: expected {FLAGS.seq_length} neighbouring frames "
            f"of {FLAGS.dataset_name}, found none"
        )
    return sequences


def _options() -> dict[str, Any]:
    """What must not change between runs into one folder."""
    names = ("dataset_name", "seq_length", "img_height", "img_width", "keep_static_frames", "allow_gaps")
    return {name: getattr(FLAGS, name) for name in names}


def _print_notes(notes: Iterable[Note]) -> None:
    kinds = defaultdict(list)
    for note in notes:
        kinds[note.kind].append(note)
    for kind, found in kinds.items():
        print(f"{kind}: {sum(note.number for note in found)}")
        for note in found[:NAMES_SHOWN]:
            print(f"    {note.what}" + (f": {note.number}" if note.number > 1 else ""))
        if len(found) > NAMES_SHOWN:
            print(f"    and {len(found) - NAMES_SHOWN} more")


def cli() -> None:
    command.run(main)


if __name__ == "__main__":
    cli()
