"""Converts recordings to the training format: strips of seq_length frames, intrinsics, train.txt and val.txt.

  kitti_raw_eigen   KITTI raw without the test scenes of Eigen et al.
  kitti_raw_stereo  KITTI raw without the scenes of the 2015 stereo benchmark
  kitti_raw         every drive of KITTI raw under --dataset_dir
  kitti_odom        sequences 00 to 08 of KITTI odometry
  cityscapes        the training cities; the bottom quarter is cropped, so --img_height=171 gives 128
  video             a video file or a folder of videos; needs the intrinsics, or --intrinsics=unknown
  images            a folder of images in natural order; needs the intrinsics, too

    python tools/prepare_train_data.py --dataset_dir=kitti_raw --dataset_name=kitti_raw_eigen \\
        --dump_root=formatted --seq_length=3
    python tools/prepare_train_data.py --dataset_dir=drive.mp4 --dataset_name=video --horizontal_fov_deg=70 \\
        --dump_root=formatted --seq_length=3

Missing data is reported and counted; the exit status is 1 if data that is there was damaged, lacked its calibration or
could not be written. A second run makes only the examples that are missing or incomplete. --shard=1/4 .. 4/4 divide the
work; --merge then finishes it.

Video that moves slowly teaches little: --min_flow_px takes neighbours that are far enough apart (needs scikit-image:
pip install 'sfmlearner_tf[static]').

KITTI's frames before and after static ones are neighbours, as in the 2017 release; --split_at_gaps parts them. Frames
before and after a missing file are no neighbours; --allow_gaps joins them.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.locks import lock_folder
from kitti_eval.workers import ordered_map
from sfmlearner_tf.data import calibration
from sfmlearner_tf.data.datasets import DATASETS, list_dataset
from sfmlearner_tf.data.flow_steps import FlowLimits, choose_steps
from sfmlearner_tf.data.formatted import JPEG_QUALITY, Example, write_splits
from sfmlearner_tf.data.kitti_odom import LENGTHS
from sfmlearner_tf.data.masks import MaskFolder
from sfmlearner_tf.data.odometer import locate
from sfmlearner_tf.data.prepare import Recipe, claim_folder, make_examples, unfinished
from sfmlearner_tf.data.sequences import FrameSequence, Listing, Note, shard
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools import prepare_flags
from sfmlearner_tf.tools.notes import print_notes, summarise_notes

# By Zhou et al., CVPR 2017, of which about a tenth is for validation.
PUBLISHED_EIGEN_EXAMPLES = 44540

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset_dir", None, "Folder of the recordings, in the dataset's official layout.", required=True)
flags.DEFINE_enum("dataset_name", None, DATASETS, "Name of the dataset.", required=True)
flags.DEFINE_string("dump_root", None, "Output folder for the training data.", required=True)
flags.DEFINE_integer("seq_length", None, "Frames per example, odd; the middle one is the target.", required=True)
flags.DEFINE_integer("img_height", 128, "Height that frames are resized to, in pixels.")
flags.DEFINE_integer("img_width", 416, "Width that frames are resized to, in pixels.")
flags.DEFINE_integer(
    "jpeg_quality", JPEG_QUALITY, "JPEG quality of the strips; use 95 for images much smaller than 128x416.",
    lower_bound=1, upper_bound=100,
)  # fmt: skip
flags.DEFINE_integer("num_threads", 4, "Worker processes.")
flags.DEFINE_bool("keep_static_frames", False, "Keep the frames without camera motion.")
flags.DEFINE_string("static_frames_file", None, "List of frames without camera motion, instead of KITTI raw's.")
flags.DEFINE_bool("split_at_gaps", False, "No frames are neighbours across ones that are static or missing.")
flags.DEFINE_bool("allow_gaps", False, "Frames are neighbours also across missing ones.")
flags.DEFINE_string(
    "masks_dir", None, "Also write masks of objects, for training with --object_masks: folder with a mask for each "
    "frame, of its size and under its path in --dataset_dir but .png, one channel, the number of the object or 0; of a "
    "video <video>/0000000000.png and so on."
)  # fmt: skip
flags.DEFINE_bool("tracked_masks", False, "Equal numbers in masks are one object; else the overlap of masks tells.")
flags.DEFINE_string(
    "speeds", None, "Also write how far the camera moved, for training with --speed_weight: oxts for KITTI raw; for "
    "video and images a CSV file with the columns time_s (from the first frame on) and speed_m_s."
)  # fmt: skip
flags.DEFINE_float("frames_per_second", None, "images, with --speeds: of the recording.", 0.01, 1000)
flags.DEFINE_bool("dry_run", False, "Only report what would be made and what is missing.")
flags.DEFINE_string("shard", None, "i/n: make only the i-th of n shares, without the lists.")
flags.DEFINE_bool("merge", False, "Write the lists after all shards are done.")
flags.DEFINE_string(
    "intrinsics", None, "video, images: fx,fy,cx,cy in pixels of the original frames, or unknown: training then has to "
    "learn them, with --learn_intrinsics."
)  # fmt: skip
flags.DEFINE_string(
    "calibration_file", None, "video, images: calibration of KITTI, COLMAP's cameras.txt, or a line fx fy cx cy."
)
flags.DEFINE_float("horizontal_fov_deg", None, "video, images: the horizontal field of view.")
flags.DEFINE_integer("frame_step", 1, "video, images: take every n-th frame.", lower_bound=1)
flags.DEFINE_float(
    "min_flow_px", None, "video, images: choose for every target how many frames away its neighbours are, so that the "
    "picture moves by this much from one to the next (median, pixels at a width of 416; KITTI's moves by about 3). "
    "Frames where it hardly moves are left out.", 0, 100,
)  # fmt: skip
flags.DEFINE_float(
    "max_flow_px",
    None,
    "video, images: leave out examples whose frames move more than this, as --min_flow_px counts.",
    0,
    1000,
)
flags.DEFINE_string("crop", None, "video, images: left,top,width,height in pixels to cut out before resizing.")


def main() -> None:
    prepare_flags.check_flags()
    listing = list_dataset(
        FLAGS.dataset_name, FLAGS.dataset_dir, prepare_flags.find_selection(), prepare_flags.calibrate, FLAGS.frame_step
    )
    masks = MaskFolder(FLAGS.masks_dir, FLAGS.dataset_dir, FLAGS.tracked_masks) if FLAGS.masks_dir else None
    recipe = Recipe(
        FLAGS.dump_root, FLAGS.seq_length, prepare_flags.find_geometry(), FLAGS.jpeg_quality, masks, bool(FLAGS.speeds)
    )
    if FLAGS.speeds:
        listing.sequences = locate(
            listing.sequences, FLAGS.speeds, FLAGS.dataset_dir, FLAGS.frames_per_second, listing.notes
        )
    if prepare_flags.chooses_by_flow():
        listing.sequences = _choose_steps(listing)
    sequences = _long_enough(listing)
    if FLAGS.dry_run:
        _print_plan(sequences)
        print_notes(listing.notes)
        _print_completeness(listing.notes)
        return
    # Shards work in one folder at the same time.
    with contextlib.nullcontext() if FLAGS.shard else lock_folder(FLAGS.dump_root):
        claim_folder(FLAGS.dump_root, prepare_flags.fixed_options(), FLAGS.dataset_dir, sequences)
        mine = shard(sequences, FLAGS.seq_length, *prepare_flags.find_share())
        todo = [] if FLAGS.merge else unfinished(mine, recipe)
        listing.notes += make_examples(todo, recipe, FLAGS.num_threads)
        print(f"{sum(len(sequence.frames) for sequence in todo)} frames decoded")
        print_notes(listing.notes)
        if FLAGS.intrinsics == calibration.UNKNOWN:
            camera = recipe.geometry.scale(sequences[0].intrinsics, calibration.stand_in_size(sequences[0].intrinsics))
            print(f"square pixels have fy/fx = {camera.fy / camera.fx:.4g} here: give it as --focal_ratio in training")
        wanted = [example for sequence in mine for example in sequence.examples(FLAGS.seq_length)]
        missing = _finish_shard(wanted, recipe) if FLAGS.shard else _finish(wanted, recipe)
    _print_completeness(listing.notes)
    folders = Counter(example.folder for example in missing)
    print_notes(Note("missing examples", folder, number=number) for folder, number in folders.items())
    lost = [note for note in listing.notes if note.lost]
    if missing or lost:
        what = [*summarise_notes(lost), f"{len(missing)} of {len(wanted)} examples lost"]
        raise UserError(f"{', '.join(what)}: repair what is listed above and run the same command again")


def _choose_steps(listing: Listing) -> list[FrameSequence]:
    """The sequences whose pictures move as the flags ask; says what was chosen."""
    given = {"least_px": FLAGS.min_flow_px, "most_px": FLAGS.max_flow_px}
    limits = FlowLimits(**{name: value for name, value in given.items() if value is not None})
    choose = functools.partial(choose_steps, seq_length=FLAGS.seq_length, limits=limits)
    total = sum(len(sequence.frames) for sequence in listing.sequences)
    results = ordered_map(choose, listing.sequences, FLAGS.num_threads)
    sequences, lines = [], []
    with contextlib.closing(results), tqdm(total=total, unit=" frames", desc="flow", disable=None) as progress:
        for sequence, chosen in results:
            sequences += chosen.sequences
            listing.notes += chosen.notes
            lines.append(chosen.describe(sequence.folder))
            progress.update(len(sequence.frames))
    print("\n".join(lines))
    return sequences


def _long_enough(listing: Listing) -> list[FrameSequence]:
    """The sequences long enough for an example; adds notes about the others."""
    sequences = [sequence for sequence in listing.sequences if len(sequence.frames) >= FLAGS.seq_length]
    for sequence in listing.sequences:
        if len(sequence.frames) < FLAGS.seq_length:
            what = f"{sequence.folder} from {sequence.frames[0].name}"
            listing.note("frames in too short sequences", what, number=len(sequence.frames))
    if not sequences:
        print_notes(listing.notes)
        what = f"{FLAGS.seq_length} consecutive frames of {FLAGS.dataset_name}"
        why = f" ({', '.join(summarise_notes(listing.notes))})" if listing.notes else ""
        raise UserError(f"--dataset_dir={FLAGS.dataset_dir}: expected {what}, found none{why}")
    return sequences


def _finish_shard(wanted: list[Example], recipe: Recipe) -> list[Example]:
    missing = [example for example in wanted if not recipe.is_complete(example)]
    done = len(wanted) - len(missing)
    print(f"shard {FLAGS.shard}: {done} examples in {FLAGS.dump_root}; run --merge when every shard is done")
    return missing


def _finish(wanted: list[Example], recipe: Recipe) -> list[Example]:
    try:
        train, val, missing = write_splits(FLAGS.dump_root, wanted, recipe.further)
    except OSError as error:
        raise UserError(f"{FLAGS.dump_root}: cannot write train.txt and val.txt: {error.strerror}") from None
    print(f"{len(train) + len(val)} examples in {FLAGS.dump_root}: {len(train)} in train.txt, {len(val)} in val.txt")
    return missing


def _print_plan(sequences: Iterable[FrameSequence]) -> None:
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, int))
    for sequence in sequences:
        counts[sequence.folder] += 1, len(sequence.frames), len(sequence.examples(FLAGS.seq_length))
    rows = sorted(counts.items())
    rows.append(("in all; nothing was written", sum(counts.values(), np.zeros(3, int))))
    print("sequences  frames examples  folder")
    for folder, (stretches, frames, examples) in rows:
        print(f"{stretches:9} {frames:7} {examples:8}  {folder}")


def _print_completeness(notes: Iterable[Note]) -> None:
    """Says whether the release's data is all there, and how many examples the whole of it has, as far as is known."""
    if FLAGS.dataset_name not in ("kitti_raw_eigen", "kitti_raw_stereo", "kitti_odom"):
        return
    missing = ", ".join(summarise_notes(note for note in notes if note.kind.startswith("missing")))
    whole = ""
    if FLAGS.dataset_name == "kitti_odom":
        whole = f"; all of it has {sum(LENGTHS) - len(LENGTHS) * (FLAGS.seq_length - 1)} examples"
    elif FLAGS.dataset_name == "kitti_raw_eigen" and FLAGS.seq_length == 3 and not FLAGS.keep_static_frames:
        whole = f"; all of it had {PUBLISHED_EIGEN_EXAMPLES} examples in the paper"
    print(
        f"{FLAGS.dataset_name}: {f'not complete ({missing})' if missing else 'nothing is known to be missing'}{whole}"
    )


def cli() -> None:
    command.run(main)


if __name__ == "__main__":
    cli()
