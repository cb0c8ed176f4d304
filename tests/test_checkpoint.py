import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from golden_numbers import FOLDER
from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.checkpoint import Checkpoints, restore
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.prediction import load_depth_network, load_pose_network
from sfmlearner_tf.trainer import Trainer

CONFIG = TrainConfig(batch_size=1, img_height=32, img_width=32)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A checkpoint as TensorFlow 1's Saver writes it, under the names of the released model: its path and values."""
    shapes = json.loads((FOLDER / "released_variables.json").read_text())
    random = np.random.RandomState(0)
    values = {name: random.normal(scale=0.05, size=shape).astype(np.float32) for name, shape in shapes.items()}
    values["train_op/global_step"] = np.int32(190532)
    prefix = str(tmp_path_factory.mktemp("released") / "model")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {name: tf.compat.v1.Variable(value, name=name) for name, value in values.items()}
        session.run(tf.compat.v1.global_variables_initializer())
        path = tf.compat.v1.train.Saver(variables).save(session, prefix, values["train_op/global_step"])
    return path, values


@pytest.fixture(scope="module")
def pose_model(tmp_path_factory):
    """A checkpoint of five frames with masks, as the released pose model, and the learner that it is of."""
    learner = SfMLearner(TrainConfig(img_height=32, img_width=32, seq_length=5, explain_reg_weight=0.2))
    return learner.save(str(tmp_path_factory.mktemp("pose"))), learner


def random_images(channels):
    return np.random.RandomState(0).randint(0, 256, (1, 32, 32, channels), np.uint8)


def small_variables(value=1.0):
    return {"net/a": tf.Variable([value, value + 1]), "net/b": tf.Variable([[value]])}


def test_released_model_loads(released):
    path, values = released
    assert os.path.basename(path) == "model-190532"
    learner = SfMLearner(CONFIG)
    learner.restore(path)
    for name, variable in learner.weights.items():
        np.testing.assert_array_equal(variable, values[name])
    assert int(learner.global_step) == 190532


def test_released_model_starts_a_training(released, tmp_path, capsys):
    path, values = released
    write_formatted_data(tmp_path, count=2, width=32)
    for continue_train, step in ((False, 0), (True, 190532)):
        trainer = Trainer(
            TrainConfig(
                dataset_dir=str(tmp_path),
                checkpoint_dir=str(tmp_path / "run"),
                batch_size=1,
                img_height=32,
                img_width=32,
                max_steps=10,
                init_checkpoint_file=path,
                continue_train=continue_train,
            )
        )
        assert trainer.step == trainer.position == step
        for name, variable in trainer.learner.weights.items():
            np.testing.assert_array_equal(variable, values[name])
        assert not int(trainer.learner.optimizer.iterations)
    assert f"{path} has no state of Adam: its moments start from zero" in capsys.readouterr().out


def test_each_network_loads_from_a_file_that_has_more(released, pose_model):
    path, _ = released
    learner = SfMLearner(CONFIG)
    learner.restore(path)
    images = random_images(3)
    depth = load_depth_network(path, 32, 32).predict(images)
    np.testing.assert_allclose(depth, learner.predict_depth(images)[..., 0], rtol=1e-5)
    # The pose model has masks, which prediction does without; and a depth network, which is fit for use.
    path, learner = pose_model
    sources = random_images(12)
    poses = load_pose_network(path, 5, 32, 32).predict(images, sources)
    np.testing.assert_allclose(poses, learner.predict_pose(images, sources), rtol=1e-5, atol=1e-9)
    depth = load_depth_network(path, 32, 32).predict(images)
    np.testing.assert_allclose(depth, learner.predict_depth(images)[..., 0], rtol=1e-5)


def test_a_file_with_masks_loads_without_them(pose_model):
    path, learner = pose_model
    without = SfMLearner(TrainConfig(img_height=32, img_width=32, seq_length=5))
    assert without.restore(path)
    for name, variable in without.weights.items():
        np.testing.assert_array_equal(variable, learner.weights[name])


def test_optimiser_and_step_come_back(tmp_path):
    learner, other = SfMLearner(CONFIG), SfMLearner(CONFIG)
    batch = (random_images(3), random_images(6), np.float32([[[20, 0, 16], [0, 20, 16], [0, 0, 1]]]))
    for _ in range(2):
        learner.train_step(*batch)
    other.restore(learner.save(str(tmp_path)))
    for name, variable in learner.state().items():
        np.testing.assert_array_equal(other.state()[name], variable)
    np.testing.assert_array_equal(learner.train_step(*batch)["total"], other.train_step(*batch)["total"])


def test_file_without_optimiser_resets_it(released):
    learner = SfMLearner(CONFIG)
    moment = learner.optimizer.state()["depth_net/cnv1/weights/Adam"]
    moment.assign(tf.ones_like(moment))
    assert not learner.restore(released[0])
    assert not moment.numpy().any()


def test_missing_and_other_shaped_variables_are_listed(released):
    with pytest.raises(UserError, match=r"model-190532 lacks 18 of 99 variables: pose_exp_net/exp/upcnv1/weights, "):
        SfMLearner(TrainConfig(explain_reg_weight=0.2)).restore(released[0])
    message = (
        r"other shapes: pose_exp_net/cnv1/weights is \[7, 7, 9, 16\], expected \[7, 7, 15, 16\], pose_exp_net/pose"
    )
    with pytest.raises(UserError, match=message):
        SfMLearner(TrainConfig(seq_length=5)).restore(released[0])


def test_all_that_does_not_fit_is_in_one_line(tmp_path):
    # As a renamed variable, one of another shape, and one that only the file has look to a reader.
    saved = {
        "net/a": tf.Variable([1.0]),
        "net/kernel": tf.Variable([[1.0]]),
        "net/kernel/Adam": tf.Variable([[1.0]]),
        "net/other": tf.Variable([1.0, 2.0, 3.0]),
    }
    path = Checkpoints(str(tmp_path), saved).save_step(3)
    with pytest.raises(UserError) as error:
        restore(path, small_variables())
    assert str(error.value) == (
        f"checkpoint {path} lacks 1 of 2 variables: net/b; has variables of other shapes: net/a is [1], expected [2]; "
        "has, of the shapes of those it lacks, also: net/kernel"
    )
    del saved["net/a"], saved["net/kernel"]
    path = Checkpoints(str(tmp_path), {**saved, **small_variables()}).save_step(4)
    restore(path, small_variables())


def test_wrong_paths_are_named(tmp_path):
    Checkpoints(str(tmp_path), small_variables()).save_step(3)
    with pytest.raises(UserError, match=r"model-4 not found: expected .*model-4\.index and .*\.data-00000-of-00001"):
        restore(str(tmp_path / "model-4"), small_variables())
    with pytest.raises(UserError, match="is a folder, expected the path of one in it"):
        restore(str(tmp_path), small_variables())
    with pytest.raises(UserError, match=r"found only .*model-3\.index; did you mean .*model-3\?"):
        restore(str(tmp_path / "model-3.index"), small_variables())
    (tmp_path / "model-3.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match=r"model-3 not found: expected .*, found only .*model-3\.index$"):
        restore(str(tmp_path / "model-3"), small_variables())
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    with pytest.raises(UserError, match=r"notes\.txt not found: expected .*, found only .*notes\.txt$"):
        restore(str(tmp_path / "notes.txt"), small_variables())


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "folder"])
def test_damage_is_told_and_changes_nothing(tmp_path, suffix, damage):
    path = Checkpoints(str(tmp_path), small_variables(5.0)).save_step(3)
    file = tmp_path / f"model-3{suffix}"
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    else:
        file.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"not a checkpoint"}[damage])
    assert_refused(path)


def test_every_flipped_byte_is_told(tmp_path):
    path = Checkpoints(str(tmp_path), small_variables(5.0)).save_step(3)
    for suffix in (".data-00000-of-00001", ".index"):
        file = tmp_path / f"model-3{suffix}"
        content = file.read_bytes()
        # The names come first in the index; some of the bytes behind them stand for nothing.
        positions = range(len(content) if suffix == ".data-00000-of-00001" else len(content) // 3)
        for position in positions:
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            file.write_bytes(bytes(damaged))
            assert_refused(path)
        file.write_bytes(content)
    restore(path, small_variables())


def assert_refused(path):
    variables = small_variables()
    with pytest.raises(UserError, match="model-3") as error:
        restore(path, variables)
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(variables["net/a"], [1, 2])
    np.testing.assert_array_equal(variables["net/b"], [[1]])


def test_values_that_are_not_finite_are_refused_both_ways(tmp_path):
    broken = small_variables(np.nan)
    with pytest.raises(UserError, match=r"cannot save .*model\.latest: not finite: net/a, net/b"):
        Checkpoints(str(tmp_path), broken).save_latest()
    path = str(tmp_path / "model")
    tf.raw_ops.SaveV2(prefix=path, tensor_names=list(broken), shape_and_slices=["", ""], tensors=list(broken.values()))
    with pytest.raises(UserError, match="not finite: net/a, net/b"):
        restore(path, small_variables())


def test_oldest_go_first_and_latest_stays(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), small_variables(), max_to_keep=2)
    checkpoints.save_latest()
    for step in (1, 2, 3):
        checkpoints.save_step(step)
    assert sorted(path.stem for path in tmp_path.glob("*.index")) == ["model-2", "model-3", "model.latest"]
    # A later run that goes on counts those of the earlier one; one that starts anew leaves them alone.
    Checkpoints(str(tmp_path), small_variables(), max_to_keep=2).save_step(4)
    assert sorted(path.stem for path in tmp_path.glob("*.index")) == ["model-3", "model-4", "model.latest"]
    Checkpoints(str(tmp_path), small_variables(), max_to_keep=1, forget=True).save_step(5)
    assert {"model-3", "model-4", "model-5"} <= {path.stem for path in tmp_path.glob("*.index")}


def test_latest_is_replaced_and_nothing_is_left_over(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), small_variables())
    checkpoints.save_latest()
    checkpoints.variables["net/a"].assign([8.0, 9.0])
    checkpoints.save_latest()
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model.latest.data-00000-of-00001", "model.latest.index"]
    loaded = small_variables()
    restore(str(tmp_path / "model.latest"), loaded)
    np.testing.assert_array_equal(loaded["net/a"], [8, 9])


def test_newest_whole_one_is_restored(tmp_path, capsys):
    checkpoints = Checkpoints(str(tmp_path), small_variables())
    for step in (1, 2):
        checkpoints.variables["net/b"].assign([[step]])
        checkpoints.save_step(step)
    checkpoints.save_latest()
    (tmp_path / "model.latest.index").unlink()  # killed in the middle of replacing it
    (tmp_path / "model-2.data-00000-of-00001").write_bytes(b"")
    loaded = small_variables()
    later = Checkpoints(str(tmp_path), loaded)
    path = later.restore_newest(lambda path: restore(path, loaded))
    assert path == str(tmp_path / "model-1")
    np.testing.assert_array_equal(loaded["net/b"], [[1]])
    told = capsys.readouterr().out
    assert "model.latest not found" in told
    assert "model-2 is damaged" in told
    assert told.endswith(f"; going on from {path} instead\n")


def test_one_that_was_not_yet_recorded_is_found(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), small_variables(5.0))
    checkpoints.save_latest()
    # Killed right before the state file was written, and where a new model.latest takes the place of the old.
    (tmp_path / "checkpoint").unlink()
    loaded = small_variables()
    later = Checkpoints(str(tmp_path), loaded)
    assert later.restore_newest(lambda path: restore(path, loaded)) == str(tmp_path / "model.latest")
    np.testing.assert_array_equal(loaded["net/b"], [[5]])
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"model.latest{suffix}").rename(tmp_path / f"model.latest-replaced{suffix}")
    assert later.restore_newest(lambda path: restore(path, loaded)) == str(tmp_path / "model.latest-replaced")
    (tmp_path / "checkpoint").write_bytes(b"\xff\x00 damaged")
    later = Checkpoints(str(tmp_path), loaded)
    assert later.restore_newest(lambda path: restore(path, loaded)) == str(tmp_path / "model.latest-replaced")


def test_what_a_killed_process_left_is_deleted_unless_another_saves(tmp_path):
    left = tmp_path / ".writing-left"
    left.mkdir()
    (left / "model-3.index").write_text("half")
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as another process that saves right now
    Checkpoints(str(tmp_path), small_variables())
    assert left.exists()
    os.close(handle)
    Checkpoints(str(tmp_path), small_variables())
    assert not left.exists()


def test_a_folder_without_any_is_named(tmp_path):
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path}"):
        Checkpoints(str(tmp_path), small_variables()).restore_newest(lambda path: None)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot save .*file/model-1: .*; earlier ones are kept"):
        Checkpoints(str(tmp_path / "file"), small_variables()).save_step(1)


def test_a_file_that_cannot_grow_keeps_the_earlier_ones(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), {"net/a": tf.Variable(tf.ones([100_000]))})
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
from sfmlearner_tf.checkpoint import Checkpoints, restore
from sfmlearner_tf.errors import UserError

value = tf.Variable(tf.zeros([100_000]))
checkpoints = Checkpoints(sys.argv[1], {"net/a": value})
step = 0
try:
    while True:
        value.assign_add(tf.ones([100_000]))
        checkpoints.save_step(step + 1)
        step += 1
except UserError as error:
    assert "No space left on device; earlier ones are kept" in str(error), error
assert step >= 2
path = Checkpoints(sys.argv[1], {}).restore_newest(lambda path: restore(path, {"net/a": value}))
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
