"""Whether a folder holds a run, and removing what the run wrote and nothing else."""

import os

import pytest
import tensorflow as tf

from sfmlearner_tf import TrainConfig, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.curves import Curves
from sfmlearner_tf.errors import UserError

# What a run of this version and of 2017 writes, and what others may put beside it.
RUN_FILES = (
    "bad_examples.txt",
    "checkpoint",
    "config.json",
    "events.out.tfevents.1500000000.host",
    "events.out.tfevents.1700000000.host.123.0.v2",
    "model-12.data-00000-of-00001",
    "model-12.index",
    "model-12.meta",
    "model-12-replaced.index",
    *(f"model.best.{kind}" for kind in ("data-00000-of-00001", "index")),
    *(f"model.latest.{kind}" for kind in ("data-00000-of-00001", "index")),
    "model.latest-replaced.index",
    "validation.csv",
    "validation.png",
)
FOREIGN_FILES = (
    "notes.txt",
    "model-12.zip",
    "model-twelve.index",
    "model.index",
    "my-model-12.index",
    "model.latest.txt",
    "old.config.json",
    "config.json.orig",
    "validation.csv.bak",
    "train.txt",
    # That of a process that was killed; the next one takes it.
    ".lock",
    # The authors' released model, fetched into the same folder.
    *(f"model-190532.{kind}" for kind in ("data-00000-of-00001", "index")),
)


STATE = 'model_checkpoint_path: "model-12"\nall_model_checkpoint_paths: "/elsewhere/model-12"\n'


def write_files(folder, names):
    for name in names:
        (folder / name).write_text(STATE if name == "checkpoint" else "")


def test_signs_of_a_run(tmp_path):
    assert run_config.holds_run(str(tmp_path / "missing")) is None
    assert run_config.holds_run(str(tmp_path)) is None
    for name in FOREIGN_FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "model-7.index").mkdir()
    (tmp_path / "config.json").write_text("")  # alone it shows a run that has saved nothing
    assert run_config.holds_run(str(tmp_path)) is None
    for name in ("checkpoint", "model.latest.index", "model.best.index", "validation.csv"):
        (tmp_path / name).write_text("")
        assert run_config.holds_run(str(tmp_path)) == name
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match=r"config\.json: expected a folder of checkpoints, found: Not a directory"):
        run_config.holds_run(str(tmp_path / "config.json"))


def test_a_run_is_removed_and_nothing_else(tmp_path):
    run_config.remove_run(str(tmp_path / "missing"))
    write_files(tmp_path, (*RUN_FILES, *FOREIGN_FILES))
    (tmp_path / "model-7.index").mkdir()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "config.json").write_text("")
    (tmp_path / "model-8.index").symlink_to(tmp_path / "plugins")
    (tmp_path / "model.best.meta").symlink_to(tmp_path / "train.txt")
    run_config.remove_run(str(tmp_path))
    assert set(os.listdir(tmp_path)) == {*FOREIGN_FILES, "model-7.index", "plugins", "model-8.index"}
    assert os.listdir(tmp_path / "plugins") == ["config.json"]
    assert run_config.holds_run(str(tmp_path)) is None


def test_a_removal_that_is_interrupted_still_shows_the_run(tmp_path, monkeypatch):
    write_files(tmp_path, RUN_FILES)
    remove, left = os.remove, []

    def remove_watched(path):
        left.append(run_config.holds_run(str(tmp_path)))
        remove(path)

    monkeypatch.setattr(os, "remove", remove_watched)
    run_config.remove_run(str(tmp_path))
    assert len(left) == len(RUN_FILES)
    assert all(left)


def test_a_file_that_cannot_be_removed_is_named(tmp_path, monkeypatch):
    write_files(tmp_path, ("config.json", "checkpoint"))

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "remove", refuse)
    with pytest.raises(UserError, match=r"^cannot delete .*config\.json: Permission denied$"):
        run_config.remove_run(str(tmp_path))
    assert run_config.holds_run(str(tmp_path)) == "checkpoint"


def test_all_that_a_run_writes_is_known(tmp_path):
    folder = str(tmp_path)
    run_config.write(TrainConfig(), folder)
    checkpoints = CheckpointFolder(folder, {"net/a": tf.Variable([1.0])})
    for save in (checkpoints.save_latest, checkpoints.save_best, lambda: checkpoints.save_step(3)):
        save()
    Curves(folder, last_step=3).add(3, {"total": 1.0})
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=3):
        tf.summary.scalar("total_loss", 1.0)
    writer.close()
    assert len(os.listdir(tmp_path)) == 11
    run_config.remove_run(folder)
    assert os.listdir(tmp_path) == []
