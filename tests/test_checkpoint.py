import json
import os

import numpy as np
import pytest
import tensorflow as tf

from golden_numbers import FOLDER
from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.checkpoint import Checkpoints, restore
from sfmlearner_tf.command import UserError

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


def test_tensorflow_1_loads_what_is_saved(tmp_path):
    learner = SfMLearner(CONFIG)
    learner.global_step.assign(7)
    path = learner.save(str(tmp_path))
    assert path == str(tmp_path / "model-7")
    assert tf.train.latest_checkpoint(str(tmp_path)) == path
    shapes = json.loads((FOLDER / "released_variables.json").read_text())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {
            name: tf.compat.v1.Variable(tf.zeros(shape, tf.float32 if shape else tf.int32))
            for name, shape in shapes.items()
            if not name.endswith("global_step")
        }
        tf.compat.v1.train.Saver(variables).restore(session, path)
        values = session.run(variables)
    for name, value in values.items():
        np.testing.assert_array_equal(value, learner.weights[name])


def test_optimiser_and_step_come_back(tmp_path):
    learner, other = SfMLearner(CONFIG), SfMLearner(CONFIG)
    random = np.random.RandomState(0)
    target, sources = (random.randint(0, 256, (1, 32, 32, channels), np.uint8) for channels in (3, 6))
    batch = (target, sources, np.float32([[[20, 0, 16], [0, 20, 16], [0, 0, 1]]]))
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
    learner.restore(released[0])
    assert not moment.numpy().any()


def test_missing_and_other_shaped_variables_are_listed(released):
    with pytest.raises(UserError, match=r"model-190532 lacks 18 of 99 variables: pose_exp_net/exp/upcnv1/weights, "):
        SfMLearner(TrainConfig(explain_reg_weight=0.2)).restore(released[0])
    message = (
        r"other shapes: pose_exp_net/cnv1/weights is \[7, 7, 9, 16\], expected \[7, 7, 15, 16\], pose_exp_net/pose"
    )
    with pytest.raises(UserError, match=message):
        SfMLearner(TrainConfig(seq_length=5)).restore(released[0])


def test_wrong_paths_are_named(tmp_path):
    Checkpoints(str(tmp_path), small_variables()).save_step(3)
    with pytest.raises(UserError, match=r"model-4 not found: expected .*model-4\.index and .*\.data-00000-of-00001"):
        restore(str(tmp_path / "model-4"), small_variables())
    with pytest.raises(UserError, match="is a folder, expected the path of one in it"):
        restore(str(tmp_path), small_variables())
    with pytest.raises(UserError, match=r"did you mean .*model-3\?"):
        restore(str(tmp_path / "model-3.index"), small_variables())


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "text"])
def test_damage_is_told_and_changes_nothing(tmp_path, suffix, damage):
    variables = small_variables()
    path = Checkpoints(str(tmp_path), small_variables(5.0)).save_step(3)
    content = bytearray((tmp_path / f"model-3{suffix}").read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    content = {"flipped": content, "truncated": content[: len(content) // 2], "text": b"not a checkpoint"}[damage]
    (tmp_path / f"model-3{suffix}").write_bytes(bytes(content))
    with pytest.raises(UserError, match="model-3"):
        restore(path, variables)
    np.testing.assert_array_equal(variables["net/a"], [1, 2])


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
    assert "model-2 is damaged" in capsys.readouterr().out


def test_a_folder_without_any_is_named(tmp_path):
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path}"):
        Checkpoints(str(tmp_path), small_variables()).restore_newest(lambda path: None)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot save .*file/model-1: .*; earlier ones are kept"):
        Checkpoints(str(tmp_path / "file"), small_variables()).save_step(1)
