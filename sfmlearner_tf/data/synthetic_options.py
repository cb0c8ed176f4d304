"""The options of a generated data set, and the names of its drives."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import NamedTuple

from sfmlearner_tf.data.kitti_writer import write_text
from sfmlearner_tf.data.synthetic import KITTI_FOCAL_LENGTH
from sfmlearner_tf.errors import UserError

LAYOUTS = ("raw", "odometry")
MIN_IMAGE_SIDE = 32
# No real drive has a number this high, so no list of static frames or test scenes matches a training scene.
_FIRST_TRAIN_DRIVE = 1001
_TRAIN_DATE = "2011_09_26"
# Names of Eigen test scenes, so that `--dataset_name=kitti_raw_eigen` holds them out of training.
_TEST_DRIVES = (
    "2011_09_26_drive_0117",
    "2011_09_28_drive_0002",
    "2011_09_26_drive_0052",
    "2011_09_30_drive_0016",
    "2011_09_26_drive_0009",
    "2011_09_29_drive_0071",
    "2011_10_03_drive_0027",
    "2011_09_26_drive_0101",
)
MAX_TEST_SCENES = len(_TEST_DRIVES)
MAX_TRAIN_SCENES = 9999 - _FIRST_TRAIN_DRIVE + 1
# The odometry benchmark trains on sequences 00 to 08 and tests on 09 and 10.
_TRAIN_SEQUENCES, _TEST_SEQUENCES = range(9), range(9, 11)
_OPTIONS_FILE = "make_synthetic_kitti.json"
_WORLD = 2  # increased whenever generation changes, so that no folder mixes two versions


@dataclasses.dataclass(frozen=True)
class SyntheticKitti:
    """The options of the data set, with the defaults of `tools/make_synthetic_kitti.py`."""

    num_train_scenes: int = 24
    num_test_scenes: int = 4
    frames_per_scene: int = 50
    img_height: int = 64
    img_width: int = 208
    focal_length: float = KITTI_FOCAL_LENGTH  # in widths of the image
    traffic: float = 0.0  # share of the places on the road that have a moving car
    seed: int = 8964
    layouts: tuple[str, ...] = LAYOUTS
    stereo: bool = True


class Drive(NamedTuple):
    """The names of one scene in both layouts."""

    scene_seed: int
    date: str  # "2011_09_26"
    name: str  # "2011_09_26_drive_1001_sync"
    sequence: int | None  # in KITTI odometry, if it is part of it
    held_out: bool

    def raw_dir(self, output_dir: str) -> str:
        """Its folder in the layout of KITTI raw."""
        return os.path.join(output_dir, "kitti_raw", self.date, self.name)

    def sequence_dir(self, output_dir: str) -> str:
        """Its folder in the layout of KITTI odometry."""
        return os.path.join(output_dir, "kitti_odometry", "sequences", f"{self.sequence:02d}")


def drives(options: SyntheticKitti) -> list[Drive]:
    """Every drive of the data set, training scenes first."""
    listed = []
    for index in range(options.num_train_scenes):
        name = f"{_TRAIN_DATE}_drive_{_FIRST_TRAIN_DRIVE + index}_sync"
        sequence = _TRAIN_SEQUENCES[index] if index < len(_TRAIN_SEQUENCES) else None
        listed.append(Drive(_scene_seed(options, _FIRST_TRAIN_DRIVE + index), _TRAIN_DATE, name, sequence, False))
    for index, name in enumerate(_TEST_DRIVES[: options.num_test_scenes]):
        sequence = _TEST_SEQUENCES[index] if index < len(_TEST_SEQUENCES) else None
        listed.append(Drive(_scene_seed(options, index), name[:10], f"{name}_sync", sequence, True))
    return listed


def check(options: SyntheticKitti) -> None:
    """Raises UserError for an option out of range."""
    limits = {
        "num_train_scenes": (1, MAX_TRAIN_SCENES),
        "num_test_scenes": (1, MAX_TEST_SCENES),
        "frames_per_scene": (1, 9999),
        "img_height": (MIN_IMAGE_SIDE, 4096),
        "img_width": (MIN_IMAGE_SIDE, 4096),
        "focal_length": (0.2, 5),
        "traffic": (0, 1),
        "seed": (0, 2**31 - 1),
    }
    for name, (low, high) in limits.items():
        if not low <= getattr(options, name) <= high:
            raise UserError(f"--{name}: expected {low} to {high}, found {getattr(options, name)}")
    if not options.layouts or not set(options.layouts) <= set(LAYOUTS):
        raise UserError(f"layouts: expected one or both of {','.join(LAYOUTS)}, found {','.join(options.layouts)!r}")


def claim_folder(output_dir: str, options: SyntheticKitti) -> None:
    """Records the options in the folder; raises UserError if it holds other options or other recordings."""
    path = os.path.join(output_dir, _OPTIONS_FILE)
    ours = {"world": _WORLD, **dataclasses.asdict(options), "layouts": sorted(options.layouts)}
    try:
        if not os.path.exists(path):
            for layout in ("kitti_raw", "kitti_odometry"):
                if os.path.exists(os.path.join(output_dir, layout)):
                    raise UserError(
                        f"output_dir={output_dir}: expected a new or empty folder, found {layout} that this command "
                        f"did not make (no {_OPTIONS_FILE} beside it)"
                    )
            write_text(path, json.dumps(ours, indent=1) + "\n")
            return
        with open(path, encoding="utf-8") as file:
            theirs = dict(json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"output_dir={output_dir}: cannot write it or read its {_OPTIONS_FILE}: {error}") from error
    theirs = {"focal_length": KITTI_FOCAL_LENGTH, "traffic": 0.0, **theirs}  # which were no options at first
    different = [
        f"{name}={theirs.get(name)} there, {ours[name]} now" for name in ours if theirs.get(name) != ours[name]
    ]
    if different:
        raise UserError(
            f"output_dir={output_dir}: holds a data set made with other options ({'; '.join(different)}); "
            "use the same options or another folder"
        )


def _scene_seed(options: SyntheticKitti, number: int) -> int:
    return options.seed * 10_000 + number
