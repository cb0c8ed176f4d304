import fcntl
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf.checkpoint import SUFFIXES, is_whole, restore
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.errors import UserError


def small_variables(value=1.0):
    return {"net/a": tf.Variable([value, value + 1]), "net/b": tf.Variable([[value]])}


def names_in(folder):
    """The checkpoints of a folder, by name."""
    return sorted(path.stem for path in folder.glob("*.index"))


def test_oldest_go_first_and_latest_stays(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path), small_variables(), max_to_keep=2)
    checkpoints.save_latest()
    for step in (1, 2, 3):
        checkpoints.save_step(step)
    assert names_in(tmp_path) == ["model-2", "model-3", "model.latest"]
    # A later run counts those of the earlier one.
    CheckpointFolder(str(tmp_path), small_variables(), max_to_keep=2).save_step(4)
    assert names_in(tmp_path) == ["model-3", "model-4", "model.latest"]
    assert (tmp_path / "checkpoint").read_text() == (
        'model_checkpoint_path: "model-4"\n'
        'all_model_checkpoint_paths: "model.latest"\n'
        'all_model_checkpoint_paths: "model-3"\n'
        'all_model_checkpoint_paths: "model-4"\n'
    )


def test_all_are_kept_unless_told_otherwise(tmp_path):
    for step in range(12):
        CheckpointFolder(str(tmp_path), small_variables()).save_step(step)
    assert names_in(tmp_path) == sorted(f"model-{step}" for step in range(12))
    assert (tmp_path / "checkpoint").read_text().count("all_model_checkpoint_paths") == 12


def test_the_best_is_beside_the_line(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path), small_variables(), max_to_keep=1)
    checkpoints.save_best()
    assert not (tmp_path / "checkpoint").exists()
    for step in (1, 2):
        checkpoints.save_step(step)
    assert names_in(tmp_path) == ["model-2", "model.best"]
    assert "model.best" not in (tmp_path / "checkpoint").read_text()


def test_latest_is_replaced_and_nothing_is_left_over(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path), small_variables())
    checkpoints.save_latest()
    checkpoints.variables["net/a"].assign([8.0, 9.0])
    checkpoints.save_latest()
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model.latest.data-00000-of-00001", "model.latest.index"]
    loaded = small_variables()
    restore(str(tmp_path / "model.latest"), loaded)
    np.testing.assert_array_equal(loaded["net/a"], [8, 9])


def test_newest_whole_one_is_restored(tmp_path, capsys):
    checkpoints = CheckpointFolder(str(tmp_path), small_variables())
    for step in (1, 2):
        checkpoints.variables["net/b"].assign([[step]])
        checkpoints.save_step(step)
    checkpoints.save_latest()
    (tmp_path / "model.latest.index").unlink()  # killed in the middle of replacing it
    (tmp_path / "model-2.data-00000-of-00001").write_bytes(b"")
    loaded = small_variables()
    later = CheckpointFolder(str(tmp_path), loaded)
    path = later.restore_newest(lambda path: restore(path, loaded))
    assert path == str(tmp_path / "model-1")
    np.testing.assert_array_equal(loaded["net/b"], [[1]])
    printed = capsys.readouterr().out
    assert "model.latest not found" in printed
    assert "model-2 is damaged" in printed
    assert printed.endswith(f"; continuing from {path} instead\n")


def test_the_trouble_of_the_newest_is_told(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path), small_variables())
    for step in (1, 2):
        checkpoints.save_step(step)
        (tmp_path / f"model-{step}.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(UserError, match=r"^checkpoint .*model-2 is damaged"):
        checkpoints.restore_newest(lambda path: restore(path, small_variables()))


def test_one_that_was_not_yet_recorded_is_found(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path), small_variables(5.0))
    checkpoints.save_latest()
    # Killed right before the state file was written, and where a new model.latest takes the place of the old.
    (tmp_path / "checkpoint").unlink()
    loaded = small_variables()
    later = CheckpointFolder(str(tmp_path), loaded)
    assert later.restore_newest(lambda path: restore(path, loaded)) == str(tmp_path / "model.latest")
    np.testing.assert_array_equal(loaded["net/b"], [[5]])
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"model.latest{suffix}").rename(tmp_path / f"model.latest-replaced{suffix}")
    assert later.restore_newest(lambda path: restore(path, loaded)) == str(tmp_path / "model.latest-replaced")
    for damaged in (b"\xff\x00 damaged", b"", b"\n", b'model_checkpoint_path: ""', b'all_model_checkpoint_paths: "'):
        (tmp_path / "checkpoint").write_bytes(damaged)
        later = CheckpointFolder(str(tmp_path), loaded)
        assert later.restore_newest(lambda path: restore(path, loaded)) == str(tmp_path / "model.latest-replaced")


def test_what_a_killed_process_left_is_deleted_unless_another_saves(tmp_path):
    left = tmp_path / ".writing-left"
    left.mkdir()
    (left / "model-3.index").write_text("half")
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as another process that saves right now
    CheckpointFolder(str(tmp_path), small_variables())
    assert left.exists()
    os.close(handle)
    CheckpointFolder(str(tmp_path), small_variables())
    assert not left.exists()


class Killed(BaseException):
    """As signal 9: nothing that only looks after errors may notice."""


def save_and_be_killed(monkeypatch, save, moment):
    """Runs `save` up to the `moment`-th time that it changes what the folder lists; whether it got that far."""
    left = moment
    with monkeypatch.context() as patched:
        for real in (os.link, os.remove, os.replace, os.fsync):

            def change(*arguments, real=real):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                return real(*arguments)

            patched.setattr(os, real.__name__, change)
        try:
            save()
        except Killed:
            return True
    return False


def value_of(path):
    loaded = small_variables(0.0)
    restore(str(path), loaded)
    return loaded["net/b"].numpy().item()


@pytest.mark.parametrize("kind", ["step", "latest"])
def test_at_every_moment_a_whole_checkpoint_is_there_and_nothing_half_is_listed(tmp_path, monkeypatch, kind):
    for moment in range(100):
        folder = tmp_path / str(moment)
        checkpoints = CheckpointFolder(str(folder), small_variables(1.0), max_to_keep=1)
        checkpoints.save_best()
        checkpoints.variables["net/b"].assign([[2]])
        checkpoints.save_step(1)
        checkpoints.variables["net/b"].assign([[3]])
        checkpoints.save_latest()
        for suffix in SUFFIXES:  # as a process that was killed long ago left it
            (folder / f"model.best{suffix}").rename(folder / f"model.latest-replaced{suffix}")
        checkpoints.variables["net/b"].assign([[4]])
        save = checkpoints.save_latest if kind == "latest" else lambda c=checkpoints: c.save_step(2)
        was_killed = save_and_be_killed(monkeypatch, save, moment)
        # What has both files is sound, and so is all that is listed but for one, which has its second name.
        names = re.findall(r'all_model_checkpoint_paths: "(.+)"', (folder / "checkpoint").read_text())
        whole = [name for name in names if is_whole(str(folder / name))]
        assert set(map(value_of, map(folder.joinpath, whole))) <= {2, 3, 4}
        assert set(names) - set(whole) <= ({"model.latest"} if kind == "latest" else set())
        newest = CheckpointFolder(str(folder), {}).restore_newest(value_of)
        assert value_of(newest) in ((3, 4) if was_killed else (4,))
        if not was_killed:
            assert moment > 8
            return
    pytest.fail("it never came to an end")


def test_a_folder_without_any_is_named(tmp_path):
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path}"):
        CheckpointFolder(str(tmp_path), small_variables()).restore_newest(lambda path: None)


def test_values_that_are_not_finite_are_not_saved(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path / "run"), small_variables(np.nan))
    with pytest.raises(UserError, match=r"cannot save .*model\.latest: not finite: net/a, net/b$"):
        checkpoints.save_latest()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot save .*file/model-1: .*; earlier ones are kept"):
        CheckpointFolder(str(tmp_path / "file"), small_variables()).save_step(1)


def test_a_file_that_cannot_grow_keeps_the_earlier_ones(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path), {"net/a": tf.Variable(tf.ones([100_000]))})
    checkpoints.save_latest()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        for save in (checkpoints.save_latest, lambda: checkpoints.save_step(3)):
            with pytest.raises(UserError, match=r"cannot save .*: .*File too large.*; earlier ones are kept"):
                save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


SAVE_UNTIL_FULL = """
import sys
import tensorflow as tf
from sfmlearner_tf.checkpoint import SUFFIXES, is_whole, restore
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.errors import UserError

value = tf.Variable(tf.zeros([100_000]))
checkpoints = CheckpointFolder(sys.argv[1], {"net/a": value})
step = 0
try:
    while True:
        value.assign_add(tf.ones([100_000]))
        checkpoints.save_step(step + 1)
        step += 1
except UserError as error:
    assert "No space left on device; earlier ones are kept" in str(error), error
assert step >= 2
path = CheckpointFolder(sys.argv[1], {}).restore_newest(lambda path: restore(path, {"net/a": value}))
assert path.endswith(f"model-{step}")
assert (value.numpy() == step).all()
"""


def test_a_full_disk_keeps_the_earlier_ones(tmp_path):
    # A name space of its own may mount a small disk without being root, where the system permits it.
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m full "$0" && exec "$@"', str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no ordinary user mount a small disk")
    command = [*mount, sys.executable, "-c", SAVE_UNTIL_FULL, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
