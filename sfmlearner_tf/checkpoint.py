"""Checkpoints in the 2017 release's own format: tensors by name, files `model-<step>` and `model.latest`.

The authors' released files load with no conversion, and code of that time can load ours. A file is written aside and
renamed when whole; the state file `checkpoint` is written last, so it never points to an unfinished one.
"""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import tensorflow as tf

from sfmlearner_tf.command import UserError

GLOBAL_STEP = "train_op/global_step"
# The range of disparity that the weights were trained for; files of 2017 do not tell, and have DispNet's default.
MIN_DISP = "train_op/min_disp"
LATEST = "model.latest"
# A second name of the old model.latest, there only while a new one takes its place.
_REPLACED = "model.latest-replaced"
_STATE_FILE = "checkpoint"
# What TensorFlow's reader raises for a damaged file, depending on where the damage is.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)


class Checkpoints:
    """The checkpoints of one folder.

    Args:
        folder: where they lie; made when the first is saved.
        variables: what is saved, by name.
        max_to_keep: how many `model-<step>` stay; the oldest go first. `model.latest` is always kept.
        forget: leave those of an earlier run in the folder alone: neither count nor delete them.
    """

    def __init__(
        self, folder: str, variables: Mapping[str, tf.Variable], max_to_keep: int = 10, forget: bool = False
    ) -> None:
        self.folder = folder
        self.variables = dict(variables)
        self.max_to_keep = max_to_keep
        self._names = [] if forget else _read_state(folder)

    def save_step(self, step: int) -> str:
        """Saves `model-<step>`; returns its path."""
        return self._save(f"model-{step}")

    def save_latest(self) -> str:
        """Saves `model.latest` in place of the one before; returns its path."""
        return self._save(LATEST)

    def restore_newest(self, restore: Callable[[str], None]) -> str:
        """Calls `restore` with the newest checkpoint; where it is damaged, with the one before, and says so.

        Returns:
            The path that was restored.

        Raises:
            UserError: there is none, or none that can be restored; the newest one's trouble is told.
        """
        paths = [os.path.join(self.folder, name) for name in [*reversed(self._names), _REPLACED]]
        first_error = None
        for path in filter(_is_whole, paths):
            try:
                restore(path)
            except UserError as error:
                first_error = first_error or error
                continue
            if first_error:
                print(f"{first_error}; going on from {path} instead")
            return path
        raise first_error or UserError(f"no checkpoint in {self.folder}: expected its state file and what that lists")

    def _save(self, name: str) -> str:
        broken = _not_finite(self.variables)
        if broken:
            raise UserError(f"cannot save {os.path.join(self.folder, name)}: not finite: {_listed(broken)}")
        try:
            os.makedirs(self.folder, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".writing-", dir=self.folder) as aside:
                _write(os.path.join(aside, name), self.variables)
                self._put_in_place(aside, name)
            self._record(name)
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"cannot save {os.path.join(self.folder, name)}: {reason}; earlier ones are kept") from None
        return os.path.join(self.folder, name)

    def _put_in_place(self, aside: str, name: str) -> None:
        path = os.path.join(self.folder, name)
        if _is_whole(path):
            # Replacing two files is not one act: the old pair stays reachable until the new one is whole.
            _remove(os.path.join(self.folder, _REPLACED))
            with suppress(OSError):  # a file system without hard links
                for suffix in (".data-00000-of-00001", ".index"):
                    os.link(path + suffix, os.path.join(self.folder, _REPLACED + suffix))
            os.remove(path + ".index")
        for suffix in (".data-00000-of-00001", ".index"):
            os.replace(os.path.join(aside, name + suffix), path + suffix)

    def _record(self, name: str) -> None:
        names = [other for other in self._names if other != name] + [name]
        dropped = [other for other in names if other != LATEST][: -self.max_to_keep]
        self._names = [other for other in names if other not in dropped]
        _write_state(self.folder, self._names)
        for other in [*dropped, _REPLACED]:
            _remove(os.path.join(self.folder, other))


def restore(path: str, required: Mapping[str, tf.Variable], optional: Mapping[str, tf.Variable] | None = None) -> bool:
    """Reads a checkpoint into variables; either all of them are set or none.

    Args:
        path: such as folder/model-190532.
        required: by name; each must be there. Names that only the file has are passed over.
        optional: by name; read where all of them are there, else set to zero.

    Returns:
        Whether the optional ones were read.

    Raises:
        UserError: no such checkpoint, a damaged one, or one that lacks variables or has them in other shapes.
    """
    reader = _open(path)
    _check_shapes(path, reader.get_variable_to_shape_map(), required)
    optional = optional or {}
    has_optional = all(reader.has_tensor(name) for name in optional)
    wanted = {**required, **(optional if has_optional else {})}
    try:
        values = {name: reader.get_tensor(name) for name in wanted}
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {str(error).splitlines()[0]}") from None
    broken = _not_finite(values)
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
        UserError: no such checkpoint, or a damaged one.
    """
    reader = _open(path)
    try:
        return reader.get_tensor(name).item() if reader.has_tensor(name) else default
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {str(error).splitlines()[0]}") from None


def _open(path: str) -> tf.train.CheckpointReader:
    if os.path.isdir(path):
        raise UserError(f"checkpoint {path} is a folder, expected the path of one in it, such as {path}/model-1000")
    if not _is_whole(path):
        prefix = path.split(".index")[0].split(".data-")[0]
        hint = f"; did you mean {prefix}?" if prefix != path and _is_whole(prefix) else ""
        raise UserError(f"checkpoint {path} not found: expected {path}.index and {path}.data-00000-of-00001{hint}")
    try:
        return tf.train.load_checkpoint(path)
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {str(error).splitlines()[0]}") from None


def _check_shapes(path: str, found: Mapping[str, list[int]], required: Mapping[str, tf.Variable]) -> None:
    missing = [name for name in required if name not in found]
    if missing:
        raise UserError(f"checkpoint {path} lacks {len(missing)} of {len(required)} variables: {_listed(missing)}")
    others = [
        f"{name} is {list(found[name])}, expected {variable.shape.as_list()}"
        for name, variable in required.items()
        if list(found[name]) != variable.shape.as_list()
    ]
    if others:
        raise UserError(f"checkpoint {path} has variables of other shapes: {_listed(others)}")


def _not_finite(values: Mapping[str, Any]) -> list[str]:
    return [name for name, value in values.items() if not np.isfinite(np.asarray(value)).all()]


def _listed(items: list[str]) -> str:
    return ", ".join(items)


def _write(path: str, variables: Mapping[str, tf.Variable]) -> None:
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[variable.read_value() for variable in variables.values()],
    )


def _is_whole(path: str) -> bool:
    return os.path.isfile(path + ".index") and bool(glob.glob(glob.escape(path) + ".data-*"))


def _remove(path: str) -> None:
    for file in sorted(glob.glob(glob.escape(path) + ".data-*") + glob.glob(glob.escape(path) + ".index")):
        os.remove(file)


def _read_state(folder: str) -> list[str]:
    """The names in the state file, the newest last."""
    state = tf.train.get_checkpoint_state(folder)
    return [os.path.basename(path) for path in state.all_model_checkpoint_paths] if state else []


def _write_state(folder: str, names: list[str]) -> None:
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    aside = os.path.join(folder, f".{_STATE_FILE}.writing")
    with open(aside, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(aside, os.path.join(folder, _STATE_FILE))
