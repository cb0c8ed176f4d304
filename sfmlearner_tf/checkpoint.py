"""One checkpoint in the 2017 release's own format: tensors by name, in a `.index` and a `.data` file.

The authors' released files load with no conversion, and code of that time can load ours.
"""

from __future__ import annotations

import glob
import math
import os
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sfmlearner_tf.errors import UserError, first_line

GLOBAL_STEP = "train_op/global_step"
# The range of disparity that the weights were trained for; files of 2017 do not tell, and have DispNet's default.
MIN_DISP = "train_op/min_disp"
# What the depth network's heads give, as its place in PARAMETRIZATIONS; files of 2017 do not tell, and have the first.
PARAMETRIZATION = "train_op/depth_parametrization"
# Its shape tells how many frames the release's pose network sees.
_OF_FRAMES = "pose_exp_net/cnv1/weights"
# The first step with the lower learning rate, 0 where the rate never drops; files of 2017 do not tell.
LR_DECAY_STEP = "train_op/lr_decay_step"
SUFFIXES = (".data-00000-of-00001", ".index")
# What TensorFlow's reader raises for a damaged file, depending on where the damage is.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError, MemoryError)


def restore(path: str, required: Mapping[str, tf.Variable], optional: Mapping[str, tf.Variable] | None = None) -> bool:
    """Reads a checkpoint into variables; either all of them are set or none.

    Args:
        path: such as folder/model-190532.
        required: by name; each must be there. What only the file has is passed over; where something is missing, the
            error says what the file has of the same shape instead, since a variable may have been renamed.
        optional: by name; read where all of them are there, else set to zero.

    Returns:
        Whether the optional ones were read.

    Raises:
        UserError: no such checkpoint, a damaged one, or one that lacks variables or has them in other shapes; all
            such variables are listed in one line.
    """
    reader = _open(path)
    found = reader.get_variable_to_shape_map()
    _check_fit(path, found, required)
    optional = optional or {}
    has_optional = all(found.get(name) == variable.shape.as_list() for name, variable in optional.items())
    wanted = {**required, **(optional if has_optional else {})}
    try:
        values = {name: reader.get_tensor(name) for name in wanted}
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {first_line(error)}") from None
    broken = list_not_finite(values)
    if broken:
        raise UserError(f"checkpoint {path} holds values that are not finite: {_listed(broken)}")
    for name, variable in wanted.items():
        variable.assign(tf.cast(values[name], variable.dtype))
    if not has_optional:
        for variable in optional.values():
            variable.assign(tf.zeros_like(variable))
    return has_optional


def read_scalar(path: str, name: str, default: float) -> float:
    """One number of a checkpoint, `default` where the file has none of that name, as those of 2017.

    Raises:
        UserError: no such checkpoint, a damaged one, or something else than one finite number.
    """
    reader = _open(path)
    try:
        value = np.asarray(reader.get_tensor(name) if reader.has_tensor(name) else default)
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {first_line(error)}") from None
    if value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value):
        found = reprlib.repr(value.tolist())
        raise UserError(f"checkpoint {path}: expected {name} to be one finite number, found {found}")
    return value.item()


def read_min_disp(path: str, default: float) -> float:
    """The smallest disparity that the networks of a checkpoint were trained for, `default` where it does not tell.

    Raises:
        UserError: as `read_scalar`, or a number that no network is trained for.
    """
    min_disp = read_scalar(path, MIN_DISP, default)
    if min_disp <= 0:
        raise UserError(f"checkpoint {path}: expected {MIN_DISP} to be above 0, found {min_disp:g}")
    return min_disp


def check_min_disp(path: str, default: float, expected: float) -> None:
    """Raises UserError as `read_min_disp`, and if a checkpoint's is another one than expected."""
    found = read_min_disp(path, default)
    if not math.isclose(found, expected, rel_tol=1e-6):
        raise UserError(f"checkpoint {path} was trained with min_disp={found:.6g}, expected {expected:.6g}")


def list_shapes(path: str) -> dict[str, list[int]]:
    """The shapes of all that a checkpoint holds, by name, in alphabetical order.

    Raises:
        UserError: no such checkpoint, or a damaged one.
    """
    return dict(sorted(_open(path).get_variable_to_shape_map().items()))


def write(path: str, variables: Mapping[str, tf.Variable]) -> None:
    """Writes a checkpoint, forces it to the disk and reads it back.

    Args:
        path: such as folder/model-1000; the folder is there.
        variables: by name.

    Raises:
        OSError: it cannot be written, or reads back damaged.
    """
    try:
        tf.raw_ops.SaveV2(
            prefix=path,
            tensor_names=list(variables),
            shape_and_slices=[""] * len(variables),
            tensors=[_as_released(name, variable) for name, variable in variables.items()],
        )
        for suffix in SUFFIXES:
            force_to_disk(path + suffix)
        reader = tf.train.load_checkpoint(path)
        for name in variables:
            reader.get_tensor(name)  # checks its checksum
    except _READ_ERRORS as error:
        raise OSError(first_line(error)) from None


def is_whole(path: str) -> bool:
    """Whether both files of a checkpoint are there."""
    return os.path.isfile(path + ".index") and bool(glob.glob(glob.escape(path) + ".data-*"))


def remove(path: str) -> None:
    """Deletes the files of a checkpoint, where there are any. Raises OSError."""
    for file in sorted(glob.glob(glob.escape(path) + ".data-*") + glob.glob(glob.escape(path) + ".index")):
        os.remove(file)


def force_to_disk(path: str) -> None:
    """Returns when a file, or what a folder lists, would outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def list_not_finite(values: Mapping[str, Any]) -> list[str]:
    """The names of those that hold infinity or NaN."""
    return [name for name, value in values.items() if not np.isfinite(np.asarray(value)).all()]


def _hint(name: str, shape: list[int]) -> str:
    """What another shape of a variable means, where that is known."""
    is_known = name == _OF_FRAMES and len(shape) == 4 and shape[2] % 3 == 0
    return f" (its pose network sees {shape[2] // 3} frames: seq_length={shape[2] // 3})" if is_known else ""


def _as_released(name: str, variable: tf.Variable) -> tf.Tensor:
    """A value in the type that the release's files have it in."""
    # Parity: the 2017 code takes the step as int32 alone. The variable is int64, for XLA on a GPU refuses int32 ones.
    return tf.cast(variable, tf.int32) if name == GLOBAL_STEP else variable.read_value()


def _open(path: str) -> tf.train.CheckpointReader:
    if os.path.isdir(path):
        raise UserError(f"checkpoint {path} is a folder, expected the path of one in it, such as {path}/model-1000")
    if not is_whole(path):
        expected = [path + suffix for suffix in reversed(SUFFIXES)]
        found = [file for file in (path, *expected) if os.path.isfile(file)]
        prefix = path.split(".index")[0].split(".data-")[0]
        there = glob.glob(f"{glob.escape(os.path.dirname(path) or '.')}/*.index")
        names = sorted(os.path.basename(file)[: -len(".index")] for file in there)
        raise UserError(
            f"checkpoint {path} not found: expected {' and '.join(expected)}"
            + (f", found only {found[0]}" if found else "")
            + (f"; did you mean {prefix}?" if prefix != path and is_whole(prefix) else "")
            + (f"; the folder holds {', '.join(names[:10])}" if names and not found else "")
        )
    try:
        return tf.train.load_checkpoint(path)
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {first_line(error)}") from None


def _check_fit(path: str, found: Mapping[str, list[int]], required: Mapping[str, tf.Variable]) -> None:
    shapes = {name: variable.shape.as_list() for name, variable in required.items()}
    missing = [name for name in shapes if name not in found]
    others = [
        f"{name} is {found[name]}, expected {shape}{_hint(name, found[name])}"
        for name, shape in shapes.items()
        if name in found and found[name] != shape
    ]
    # A renamed variable has a missing one's shape. The moments of an optimiser have it too: their names go on from that
    # of a variable.
    unused = [
        name
        for name, shape in sorted(found.items())
        if name not in required and shape in map(shapes.get, missing) and os.path.dirname(name) not in found
    ]
    problems = (
        (missing, f"lacks {len(missing)} of {len(required)} variables: {_listed(missing)}"),
        (others, f"has variables of other shapes: {_listed(others)}"),
        (unused, f"has, of the shapes of those it lacks, also: {_listed(unused)}"),
    )
    found_problems = [text for names, text in problems if names]
    if found_problems:
        raise UserError(f"checkpoint {path} {'; '.join(found_problems)}")


def _listed(items: list[str]) -> str:
    return ", ".join(items)
