"""The checkpoints of a run, in one folder: `model-<step>`, `model.latest` and `model.best`.

A checkpoint is written aside, read back, forced to the disk and renamed; the state file `checkpoint` comes last, so it
never points to an unfinished one.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import tensorflow as tf

from sfmlearner_tf import checkpoint
from sfmlearner_tf.errors import UserError

LATEST = "model.latest"
# Training never continues from it unasked, so the state file does not list it.
BEST = "model.best"
# Ends the second name of a checkpoint, there only while a new one takes its place.
_REPLACED = "-replaced"
_STATE_FILE = "checkpoint"
# Folders that files are written aside in; a killed process leaves one behind.
_ASIDE = ".writing-"


class CheckpointFolder:
    """The checkpoints of one folder, those of an earlier run included.

    What a killed process left half-written in the folder is deleted.

    Args:
        folder: where they lie; made when the first is saved.
        variables: what is saved, by name.
        max_to_keep: how many `model-<step>` stay; the oldest go first. None keeps all. `model.latest` is always kept.
    """

    def __init__(self, folder: str, variables: Mapping[str, tf.Variable], max_to_keep: int | None = None) -> None:
        self.folder = folder
        self.variables = dict(variables)
        self.max_to_keep = max_to_keep
        self._stamp = _stamp_state(folder)
        self._names = _read_state(folder)
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
            UserError: there is none, or none that can be restored; the text is about the newest.
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
                print(f"{'; '.join(map(str, errors))}; continuing from {path} instead")
            return path
        if errors:
            raise errors[0]
        raise UserError(f"no checkpoint in {self.folder}: expected its state file and what that lists")

    def check_unchanged(self) -> None:
        """Raises UserError where another process has saved in the folder since this object last looked into it."""
        if _stamp_state(self.folder) != self._stamp:
            raise UserError(f"{self.folder}: another run saved there after this one had looked into it: start again")

    def _newest_first(self) -> list[str]:
        """Those that the state file lists, and those that a process put in place right before it was killed."""
        names = list(reversed(self._names))
        after_latest = names.index(LATEST) + 1 if LATEST in names else len(names)
        unlisted = [name for name in (LATEST, LATEST + _REPLACED) if name not in names]
        whole = [name for name in unlisted if checkpoint.is_whole(os.path.join(self.folder, name))]
        return names[:after_latest] + whole + names[after_latest:]

    def _save(self, name: str) -> str:
        path = os.path.join(self.folder, name)
        broken = checkpoint.list_not_finite(self.variables)
        if broken:
            raise UserError(f"cannot save {path}: not finite: {', '.join(broken)}")
        try:
            os.makedirs(self.folder, exist_ok=True)
            with _lock(self.folder), tempfile.TemporaryDirectory(prefix=_ASIDE, dir=self.folder) as aside:
                checkpoint.write(os.path.join(aside, name), self.variables)
                self._put_in_place(aside, name)
                if name != BEST:
                    self._record(aside, name)
                checkpoint.remove(path + _REPLACED)
        except OSError as error:
            raise UserError(f"cannot save {path}: {error}; earlier ones are kept") from None
        return path

    def _put_in_place(self, aside: str, name: str) -> None:
        path = os.path.join(self.folder, name)
        if checkpoint.is_whole(path):
            # Replacing two files is not one act: the old pair stays reachable until the new one is whole.
            checkpoint.remove(path + _REPLACED)
            with suppress(OSError):  # a file system without hard links
                for suffix in checkpoint.SUFFIXES:
                    os.link(path + suffix, path + _REPLACED + suffix)
            os.remove(path + ".index")
        for suffix in checkpoint.SUFFIXES:
            os.replace(os.path.join(aside, name + suffix), path + suffix)
        checkpoint.force_to_disk(self.folder)

    def _record(self, aside: str, name: str) -> None:
        names = [other for other in self._names if other != name] + [name]
        steps = [other for other in names if other != LATEST]
        dropped = [] if self.max_to_keep is None else steps[: -self.max_to_keep]
        names = [other for other in names if other not in dropped]
        state_file = os.path.join(aside, _STATE_FILE)
        _write_state(state_file, names)
        os.replace(state_file, os.path.join(self.folder, _STATE_FILE))
        checkpoint.force_to_disk(self.folder)
        self._names, self._stamp = names, _stamp_state(self.folder)
        for other in dropped:
            checkpoint.remove(os.path.join(self.folder, other))


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


def _stamp_state(folder: str) -> tuple[int, ...]:
    """Another one after each save; () without a state file."""
    try:
        found = os.stat(os.path.join(folder, _STATE_FILE))
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns


def _read_state(folder: str) -> list[str]:
    """The names in the state file, the newest last; none where it is damaged or empty."""
    state = None
    with suppress(ValueError):
        state = tf.train.get_checkpoint_state(folder)
    return [os.path.basename(path) for path in state.all_model_checkpoint_paths] if state else []


def _write_state(path: str, names: list[str]) -> None:
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    checkpoint.force_to_disk(path)
