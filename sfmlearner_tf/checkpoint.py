"""Checkpoints in the 2017 release's own format: tensors by name, files `model-<step>` and `model.latest`.

The authors' released files load with no conversion, and code of that time can load ours. A file is written aside, read
back, forced to the disk and renamed; the state file `checkpoint` comes last, so it never points to an unfinished one.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import tensorflow as tf

from sfmlearner_tf.errors import UserError

GLOBAL_STEP = "train_op/global_step"
# The range of disparity that the weights were trained for; files of 2017 do not tell, and have DispNet's default.
MIN_DISP = "train_op/min_disp"
LATEST = "model.latest"
# Beside the line of checkpoints: never gone on from by itself, so the state file does not list it.
BEST = "model.best"
# Ends the second name of a checkpoint, there only while a new one takes its place.
_REPLACED = "-replaced"
_STATE_FILE = "checkpoint"
# Folders that files are written aside in; a killed process leaves one behind.
_ASIDE = ".writing-"
_SUFFIXES = (".data-00000-of-00001", ".index")
# What TensorFlow's reader raises for a damaged file, depending on where the damage is.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)


class Checkpoints:
    """The checkpoints of one folder.

    What a killed process left half-written in the folder is deleted.

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
        _delete_left_over(folder)

    def save_step(self, step: int) -> str:
        """Saves `model-<step>`; returns its path."""
        return self._save(f"model-{step}")

    def save_latest(self) -> str:
        """Saves `model.latest` in place of the one before; returns its path."""
        return self._save(LATEST)

    def save_best(self) -> str:
        """Saves `model.best` in place of the one before; returns its path."""
        return self._save(BEST)

    def restore_newest(self, restore: Callable[[str], object]) -> str:
        """Calls `restore` with the newest checkpoint; where it is damaged, with the one before, and says so.

        Returns:
            The path that was restored.

        Raises:
            UserError: there is none, or none that can be restored; the newest one's trouble is told.
        """
        errors: list[UserError] = []
        for name in self._newest_first():
            path = os.path.join(self.folder, name)
            try:
                restore(path)
            except UserError as error:
                errors.append(error)
                continue
            if errors:
                print(f"{'; '.join(map(str, errors))}; going on from {path} instead")
            return path
        if errors:
            raise errors[0]
        raise UserError(f"no checkpoint in {self.folder}: expected its state file and what that lists")

    def _newest_first(self) -> list[str]:
        """Those that the state file lists, and those that a process put in place right before it was killed."""
        names = list(reversed(self._names))
        after_latest = names.index(LATEST) + 1 if LATEST in names else len(names)
        unlisted = [name for name in (LATEST, LATEST + _REPLACED) if name not in names]
        whole = [name for name in unlisted if _is_whole(os.path.join(self.folder, name))]
        return names[:after_latest] + whole + names[after_latest:]

    def _save(self, name: str) -> str:
        path = os.path.join(self.folder, name)
        broken = _not_finite(self.variables)
        if broken:
            raise UserError(f"cannot save {path}: not finite: {_listed(broken)}")
        try:
            os.makedirs(self.folder, exist_ok=True)
            with _lock(self.folder), tempfile.TemporaryDirectory(prefix=_ASIDE, dir=self.folder) as aside:
                _write(os.path.join(aside, name), self.variables)
                self._put_in_place(aside, name)
                if name != BEST:
                    self._record(aside, name)
                _remove(path + _REPLACED)
        except (OSError, *_READ_ERRORS) as error:
            raise UserError(f"cannot save {path}: {_reason(error)}; earlier ones are kept") from None
        return path

    def _put_in_place(self, aside: str, name: str) -> None:
        path = os.path.join(self.folder, name)
        if _is_whole(path):
            # Replacing two files is not one act: the old pair stays reachable until the new one is whole.
            _remove(path + _REPLACED)
            with suppress(OSError):  # a file system without hard links
                for suffix in _SUFFIXES:
                    os.link(path + suffix, path + _REPLACED + suffix)
            os.remove(path + ".index")
        for suffix in _SUFFIXES:
            os.replace(os.path.join(aside, name + suffix), path + suffix)
        _force_to_disk(self.folder)

    def _record(self, aside: str, name: str) -> None:
        names = [other for other in self._names if other != name] + [name]
        dropped = [other for other in names if other != LATEST][: -self.max_to_keep]
        names = [other for other in names if other not in dropped]
        state_file = os.path.join(aside, _STATE_FILE)
        _write_state(state_file, names)
        os.replace(state_file, os.path.join(self.folder, _STATE_FILE))
        _force_to_disk(self.folder)
        self._names = names
        for other in dropped:
            _remove(os.path.join(self.folder, other))


def restore(path: str, required: Mapping[str, tf.Variable], optional: Mapping[str, tf.Variable] | None = None) -> bool:
    """Reads a checkpoint into variables; either all of them are set or none.

    Args:
        path: such as folder/model-190532.
        required: by name; each must be there. What only the file has is passed over; where something is missing, the
            error tells what the file has of the same shape instead, since a variable may have been renamed.
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
        raise UserError(f"checkpoint {path} is damaged: {_reason(error)}") from None
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
        raise UserError(f"checkpoint {path} is damaged: {_reason(error)}") from None


def _open(path: str) -> tf.train.CheckpointReader:
    if os.path.isdir(path):
        raise UserError(f"checkpoint {path} is a folder, expected the path of one in it, such as {path}/model-1000")
    if not _is_whole(path):
        expected = [path + suffix for suffix in reversed(_SUFFIXES)]
        found = [file for file in (path, *expected) if os.path.isfile(file)]
        prefix = path.split(".index")[0].split(".data-")[0]
        raise UserError(
            f"checkpoint {path} not found: expected {' and '.join(expected)}"
            + (f", found only {found[0]}" if found else "")
            + (f"; did you mean {prefix}?" if prefix != path and _is_whole(prefix) else "")
        )
    try:
        return tf.train.load_checkpoint(path)
    except _READ_ERRORS as error:
        raise UserError(f"checkpoint {path} is damaged: {_reason(error)}") from None


def _check_fit(path: str, found: Mapping[str, list[int]], required: Mapping[str, tf.Variable]) -> None:
    shapes = {name: variable.shape.as_list() for name, variable in required.items()}
    missing = [name for name in shapes if name not in found]
    others = [
        f"{name} is {found[name]}, expected {shape}"
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
    told = [text for names, text in problems if names]
    if told:
        raise UserError(f"checkpoint {path} {'; '.join(told)}")


def _not_finite(values: Mapping[str, Any]) -> list[str]:
    return [name for name, value in values.items() if not np.isfinite(np.asarray(value)).all()]


def _reason(error: Exception) -> str:
    """What an error says, in one line and without what TensorFlow adds about its graph."""
    line, *_ = re.sub(r"{{.*?}} | \[Op:\w+\]", "", str(error)).splitlines() or [type(error).__name__]
    return line


def _listed(items: list[str]) -> str:
    return ", ".join(items)


def _write(path: str, variables: Mapping[str, tf.Variable]) -> None:
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[variable.read_value() for variable in variables.values()],
    )
    for suffix in _SUFFIXES:
        _force_to_disk(path + suffix)
    reader = tf.train.load_checkpoint(path)
    for name in variables:
        reader.get_tensor(name)  # checks its checksum


def _force_to_disk(path: str) -> None:
    """Returns when a file, or what a folder lists, would outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _lock(folder: str, wait: bool = True) -> Iterator[bool]:
    """Keeps other processes from saving in the folder; gives whether it does. It ends with the process, even a killed
    one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        locked = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process saves right now, or a file system without locks
            locked = False
        yield locked
    finally:
        os.close(handle)


def _delete_left_over(folder: str) -> None:
    if os.path.isdir(folder):
        with _lock(folder, wait=False) as alone:
            for aside in glob.glob(os.path.join(glob.escape(folder), f"{_ASIDE}*")) if alone else []:
                shutil.rmtree(aside, ignore_errors=True)


def _is_whole(path: str) -> bool:
    return os.path.isfile(path + ".index") and bool(glob.glob(glob.escape(path) + ".data-*"))


def _remove(path: str) -> None:
    for file in sorted(glob.glob(glob.escape(path) + ".data-*") + glob.glob(glob.escape(path) + ".index")):
        os.remove(file)


def _read_state(folder: str) -> list[str]:
    """The names in the state file, the newest last; none where it is damaged."""
    state = None
    with suppress(UnicodeDecodeError):
        state = tf.train.get_checkpoint_state(folder)
    return [os.path.basename(path) for path in state.all_model_checkpoint_paths] if state else []


def _write_state(path: str, names: list[str]) -> None:
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    _force_to_disk(path)
