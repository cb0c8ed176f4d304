"""What the flags of prepare_train_data.py mean, and whether they go together."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from absl import flags

from sfmlearner_tf.data import calibration, splits
from sfmlearner_tf.data.cityscapes import KEPT_SHARE
from sfmlearner_tf.data.datasets import OWN_DATASETS
from sfmlearner_tf.data.frames import Geometry, parse_crop
from sfmlearner_tf.data.odometer import OXTS
from sfmlearner_tf.data.sequences import Intrinsics, Selection
from sfmlearner_tf.errors import UserError

SMALLEST_SIDE, LARGEST_SIDE = 32, 8192
LARGEST_STRIP = 65500  # libjpeg writes no wider image
INTRINSICS_FLAGS = ("intrinsics", "calibration_file", "horizontal_fov_deg")

FLAGS = flags.FLAGS


def check_flags() -> None:
    """Raises UserError if a value is out of its range, or flags exclude or lack each other."""
    if FLAGS.seq_length < 3 or FLAGS.seq_length % 2 == 0:
        raise UserError(f"--seq_length: expected an odd number of at least 3, found {FLAGS.seq_length}")
    find_share()
    geometry = find_geometry()
    for name, pixels in (("img_height", geometry.kept_height), ("img_width", geometry.width)):
        if not SMALLEST_SIDE <= pixels <= LARGEST_SIDE:
            raise UserError(f"--{name}: expected {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, found {pixels}")
    if FLAGS.seq_length * geometry.width > LARGEST_STRIP:
        found = f"{FLAGS.seq_length} times {geometry.width}"
        raise UserError(f"--seq_length: expected strips of at most {LARGEST_STRIP} pixels in width, found {found}")
    if FLAGS.num_threads < 1:
        raise UserError(f"--num_threads: expected at least 1, found {FLAGS.num_threads}")
    if FLAGS.merge and FLAGS.shard:
        raise UserError("expected at most one of --merge and --shard, found both")
    for one, other in (("keep_static_frames", "static_frames_file"), ("split_at_gaps", "allow_gaps")):
        if getattr(FLAGS, one) and getattr(FLAGS, other):
            raise UserError(f"expected at most one of --{one} and --{other}, found both")
    is_there = os.path.exists if FLAGS.dataset_name == "video" else os.path.isdir
    if not is_there(FLAGS.dataset_dir):
        raise UserError(f"--dataset_dir: expected a folder, found no such folder: {FLAGS.dataset_dir}")
    if FLAGS.masks_dir and not os.path.isdir(FLAGS.masks_dir):
        raise UserError(f"--masks_dir: expected a folder, found no such folder: {FLAGS.masks_dir}")
    if FLAGS.tracked_masks and not FLAGS.masks_dir:
        raise UserError("--tracked_masks: expected --masks_dir, found none")
    _check_speed_flags()
    _check_flow_flags()
    _check_calibration_flags()


def _check_speed_flags() -> None:
    is_own = FLAGS.dataset_name in OWN_DATASETS
    if FLAGS.speeds and is_own == (FLAGS.speeds == OXTS):
        expected = "a CSV file" if is_own else OXTS
        raise UserError(f"--speeds: expected {expected} with {FLAGS.dataset_name}, found {FLAGS.speeds}")
    if FLAGS.speeds and not (is_own or FLAGS.dataset_name.startswith("kitti_raw")):
        raise UserError(f"--speeds: expected KITTI raw, video or images, found {FLAGS.dataset_name}")
    if bool(FLAGS.frames_per_second) != bool(FLAGS.speeds and FLAGS.dataset_name == "images"):
        found = "none" if FLAGS.speeds else "it without --speeds"
        raise UserError(f"--frames_per_second: expected it with --speeds of images alone, found {found}")


def _check_calibration_flags() -> None:
    """Raises UserError unless own recordings have one source of intrinsics, and other datasets none of these flags."""
    given = [name for name in INTRINSICS_FLAGS if getattr(FLAGS, name) is not None]
    if FLAGS.dataset_name in OWN_DATASETS:
        if len(given) != 1:
            expected = f"one of --{', --'.join(INTRINSICS_FLAGS)}"
            found = " and ".join(f"--{name}" for name in given) or "none"
            raise UserError(f"--dataset_name={FLAGS.dataset_name}: expected {expected}, found {found}")
        return
    further = ("crop", "frame_step", "min_flow_px", "max_flow_px")
    given += [name for name in further if getattr(FLAGS, name) not in (FLAGS[name].default, "")]
    if given:
        expected = " or ".join(f"--dataset_name={own}" for own in OWN_DATASETS)
        raise UserError(f"--{given[0]}: expected {expected}, found --dataset_name={FLAGS.dataset_name}")


def _check_flow_flags() -> None:
    least, most = FLAGS.min_flow_px, FLAGS.max_flow_px
    if least is not None and most is not None and most < least:
        raise UserError(f"--max_flow_px: expected at least --min_flow_px={least:g}, found {most:g}")
    if chooses_by_flow() and FLAGS.frame_step != 1:
        raise UserError("expected at most one of --frame_step and --min_flow_px or --max_flow_px, found both")


def chooses_by_flow() -> bool:
    """Whether the step between frames follows from how the picture moves."""
    return FLAGS.min_flow_px is not None or FLAGS.max_flow_px is not None


def find_geometry() -> Geometry:
    """How frames become those of the strips."""
    kept_share = KEPT_SHARE if FLAGS.dataset_name == "cityscapes" else 1
    return Geometry(FLAGS.img_width, FLAGS.img_height, int(FLAGS.img_height * kept_share), parse_crop(FLAGS.crop))


def find_selection() -> Selection:
    """Which frames are used. Raises UserError if the list of static frames cannot be read."""
    static: dict[str, list[int]] = {}
    if FLAGS.static_frames_file:
        static = splits.read_static_frames(FLAGS.static_frames_file)
    elif FLAGS.dataset_name.startswith("kitti_raw"):
        static = splits.static_frames()
    return Selection({} if FLAGS.keep_static_frames else static, FLAGS.split_at_gaps, FLAGS.allow_gaps)


def calibrate(width: int, height: int) -> Intrinsics:
    """The camera that the flags give for frames of a size, pixels. Raises UserError if it is implausible."""
    if FLAGS.intrinsics == calibration.UNKNOWN:
        return calibration.stand_in(width, height)
    if FLAGS.intrinsics:
        intrinsics = calibration.parse_intrinsics(FLAGS.intrinsics)
    elif FLAGS.calibration_file:
        intrinsics = calibration.read_calibration_file(FLAGS.calibration_file, width, height)
    else:
        intrinsics = calibration.from_horizontal_fov(FLAGS.horizontal_fov_deg, width, height)
    return calibration.check_intrinsics(intrinsics, width, height)


def find_share() -> tuple[int, int]:
    """The part (i, n) that --shard=i/n asks for, 1 of 1 without. Raises UserError for what is none."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", FLAGS.shard or "1/1")
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard: expected i/n with i from 1 to n, found {FLAGS.shard!r}")
    return int(match[1]), int(match[2])


def fixed_options() -> dict[str, Any]:
    """The options that must not change between runs into one folder; files count by their content."""
    names = ["dataset_name", "seq_length", "img_height", "img_width", "keep_static_frames", "allow_gaps"]
    names += ["intrinsics", "horizontal_fov_deg", "frame_step", "min_flow_px", "max_flow_px", "crop", "jpeg_quality"]
    options = {name: getattr(FLAGS, name) for name in names}
    options["masks"] = ("tracked" if FLAGS.tracked_masks else "matched") if FLAGS.masks_dir else None
    for name in ("static_frames_file", "calibration_file", "speeds"):
        path = getattr(FLAGS, name)
        options[name] = path and (path if path == OXTS else f"sha256 {_digest(path)}")
    # Without static frames KITTI has nothing to join, so that both ways fit a folder.
    joins = FLAGS.dataset_name == "cityscapes" or (FLAGS.dataset_name.startswith("kitti") and find_selection().static)
    options["split_at_gaps"] = not FLAGS.allow_gaps and (FLAGS.split_at_gaps or not joins)
    return options


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]
