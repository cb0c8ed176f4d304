"""What a run remembers about itself: its options, in `config.json` beside its checkpoints."""

from __future__ import annotations

import json
import os
import re
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

from kitti_eval.files import write_whole
from sfmlearner_tf import __version__
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.errors import UserError

CONFIG_NAME = "config.json"
# What decides which tensors a checkpoint holds and what they mean; also explain_reg_weight where it is 0 on one side
# only, for then only the other learns masks.
_ARCHITECTURE = (
    "seq_length",
    "depth_network",
    "depth_norm",
    "pose_network",
    "target_frame",
    "learn_intrinsics",
    "focal_ratio",
    "centred",
    "motion_field",
    "object_motion",
    "min_disp",
    "depth_parametrization",
    "edges",
    "num_scales",
)
# These change neither what is learned from here on nor in which order. Listed are those that do not matter: a new
# option that someone forgets to list costs a needless refusal, where in a list of those that do matter it would let a
# run change in silence.
_WITHOUT_EFFECT = (
    # Where things lie: folders are moved. Whether the data is the same is seen from the data.
    "dataset_dir",
    "checkpoint_dir",
    "anchor_checkpoint_file",
    # How a run starts, which lies behind one that continues.
    "init_checkpoint_file",
    "initial_disp",
    "encoder_weights",
    "continue_train",
    "overwrite",
    "accept_changes",
    # How long it runs, and what is shown, measured and kept on the way.
    "max_steps",
    "summary_freq",
    "save_latest_freq",
    "max_to_keep",
    "val_freq",
    "val_examples",
    "val_kitti_dir",
    "val_files",
    "best_metric",
    "on_collapse",
    "watches_off",
    "watch_freq",
    "watch_after",
    # What is done about damaged files; what was left out stays so.
    "on_bad_example",
    "max_bad_fraction",
    # Other ways to compute the same, but for rounding.
    "sampler",
    "jit_compile",
    "distribute",
    "deterministic",
    "num_threads",
    "cache",
)
# What a run is given, its trained networks are not.
_FOR_A_RUN_ALONE: dict[str, Any] = {
    "anchor_weight": 0.0,
    "anchor_checkpoint_file": "",
    "continue_train": False,
    "overwrite": False,
    "distribute": "none",
    "precision": "float32",
    "val_kitti_dir": "",
    "val_files": "",
    "best_metric": "total",
    "encoder_weights": "none",
    "sampler": "native",
}
# The files of a run. Those of `model-<step>` are its own where its state file `checkpoint` lists them: others, such as
# the authors' released ones, may lie beside it.
_RUN_FILE = re.compile(
    r"config\.json|checkpoint|(?P<name>model(-[0-9]+|\.latest|\.best))(-replaced)?\.(index|meta|data-[0-9]+-of-[0-9]+)"
    r"|validation\.(csv|png)|bad_examples\.txt|events\.out\.tfevents\..+"
)
_ALWAYS_OWN = {"model.latest", "model.best", None}
_STATE_FILE = "checkpoint"
# What a new run must not write over unasked; each run has it once it has saved anything.
_SIGN_OF_RUN = re.compile(r"checkpoint|model\.(latest|best)\.index|validation\.csv")


class Differences(NamedTuple):
    """The options that differ, a line each, such as "smooth_weight was 0.5, now 0.02"."""

    architecture: list[str]  # with these, weights of before do not fit
    other: list[str]  # with these, a run that continues learns something else than it began


def write(config: TrainConfig, folder: str, intrinsics: Mapping[str, float] | None = None) -> None:
    """Writes the options into a folder, which is made if needed.

    Args:
        intrinsics: what the run has learned of its camera, see `read_intrinsics`; None where it has not.

    Raises:
        UserError: the folder cannot be written to.
    """
    path = os.path.join(folder, CONFIG_NAME)
    content = {"version": __version__, "options": asdict(config), **({"intrinsics": intrinsics} if intrinsics else {})}
    try:
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def read(folder: str) -> TrainConfig | None:
    """The options of the run in a folder, None where it has no config.json.

    Options that this version does not know are passed over; those that the file lacks, since an older version wrote
    it, have their defaults.

    Raises:
        UserError: the file cannot be read or holds something else.
    """
    path = os.path.join(folder, CONFIG_NAME)
    content = _read_json(path)
    if content is None:
        return None
    options = content["options"]
    known = [option.name for option in fields(TrainConfig)]
    try:
        return TrainConfig(**{name: options[name] for name in known if name in options})
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def read_intrinsics(folder: str) -> dict[str, float] | None:
    """What the run in a folder has learned of its camera: fx, fy, cx and cy, pixels of the images that it was trained
    on, and fx_spread and so on, their standard deviations over the validation examples. None where there is none.

    Raises:
        UserError: as `read`.
    """
    path = os.path.join(folder, CONFIG_NAME)
    content = _read_json(path)
    found = content.get("intrinsics") if content else None
    if found is None:
        return None
    is_camera = isinstance(found, dict) and all(isinstance(found.get(name), float) for name in Intrinsics._fields)
    if not is_camera or not min(found["fx"], found["fy"]) > 0:
        raise UserError(f"{path}: expected intrinsics fx, fy, cx and cy, found: {reprlib.repr(found)}")
    return found


def _read_json(path: str) -> dict[str, Any] | None:
    """What a config.json holds, of which `options` is an object; None where there is no such file."""
    try:
        with open(path, "rb") as file:
            content = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path}: expected a file with the options of a run, found: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected the options of a run as JSON, found: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("options"), dict):
        raise UserError(f"{path}: expected an object with the object `options`, found: {reprlib.repr(content)}")
    return content


def read_beside(ckpt_file: str) -> TrainConfig | None:
    """The options of the run that a checkpoint, such as folder/model-190532, is of; see `read`."""
    return read(os.path.dirname(ckpt_file))


def read_for_use(ckpt_file: str) -> TrainConfig | None:
    """The options of the run that a checkpoint is of, without what only a run has use for; see `read`."""
    config = read_beside(ckpt_file)
    return replace(config, **_FOR_A_RUN_ALONE) if config else None


def find_image_size(ckpt_file: str, height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """The (height, width) of the images that a checkpoint's networks get, pixels.

    That of their training unless another is given, which is warned of; that of the 2017 release, 128x416, where there
    is no config.json.
    """
    found = read_beside(ckpt_file)
    config = found or TrainConfig()
    size = height or config.img_height, width or config.img_width
    if found and size != (found.img_height, found.img_width):
        trained, asked = f"{found.img_width}x{found.img_height}", f"{size[1]}x{size[0]}"
        print(f"warning: {ckpt_file} was trained at {trained}; {asked} costs accuracy", file=sys.stderr)
    return size


def compare(before: TrainConfig, now: TrainConfig) -> Differences:
    """What a run that continues would do in another way than it did before."""
    earlier, later = asdict(before), asdict(now)
    differences = Differences([], [])
    for name in earlier:
        if name in _WITHOUT_EFFECT or earlier[name] == later[name]:
            continue
        line = f"{name} was {earlier[name]!r}, now {later[name]!r}"
        if name == "explain_reg_weight" and 0 in (earlier[name], later[name]):
            differences.architecture.append(f"{line} (masks are learned only above 0)")
        elif name in _ARCHITECTURE:
            differences.architecture.append(line)
        else:
            differences.other.append(line)
    return differences


def holds_run(folder: str) -> str | None:
    """The name of a file that shows that the folder holds an earlier run, None where there is none.

    Raises:
        UserError: the folder cannot be read.
    """
    return next((name for name in _list_files(folder) if _SIGN_OF_RUN.fullmatch(name)), None)


def remove_run(folder: str) -> None:
    """Deletes the files that a run writes into a folder, and nothing else.

    Raises:
        UserError: a file cannot be deleted, or the folder not be read.
    """
    own = _ALWAYS_OWN | _read_listed(folder)
    found = map(_RUN_FILE.fullmatch, _list_files(folder))
    names = [match.string for match in found if match and match["name"] in own]
    # What shows that there was a run goes last, so that a removal that was interrupted is seen, and can be repeated.
    for name in sorted(names, key=lambda name: (bool(_SIGN_OF_RUN.fullmatch(name)), name == _STATE_FILE)):
        path = os.path.join(folder, name)
        try:
            os.remove(path)
        except OSError as error:
            raise UserError(f"cannot delete {path}: {error.strerror}") from None


def _read_listed(folder: str) -> set[str]:
    """The names of the checkpoints that the state file lists, as far as it can be read."""
    try:
        with open(os.path.join(folder, _STATE_FILE), encoding="utf-8", errors="replace") as file:
            paths = re.findall(r'model_checkpoint_paths?: "([^"]+)"', file.read())
    except OSError:
        return set()
    return {os.path.basename(path) for path in paths}


def _list_files(folder: str) -> list[str]:
    """The names of the files in a folder, sorted; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{folder}: expected a folder of checkpoints, found: {error.strerror}") from None
