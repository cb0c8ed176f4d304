import dataclasses
import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from golden_numbers import FOLDER
from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.checkpoint import GLOBAL_STEP, LR_DECAY_STEP, MIN_DISP, list_shapes, read_scalar, restore, write
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.networks.building import load_network
from sfmlearner_tf.prediction import load_depth_predictor, load_pose_predictor
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


def save(folder, variables):
    path = str(folder / "model-3")
    write(path, variables)
    return path


def test_released_model_loads(released):
    path, values = released
    assert os.path.basename(path) == "model-190532"
    learner = SfMLearner(CONFIG)
    learner.restore(path)
    for name, variable in learner.release_variables().items():
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
        for name, variable in trainer.learner.release_variables().items():
            np.testing.assert_array_equal(variable, values[name])
        assert not int(trainer.learner.optimizer.iterations)
    assert f"{path} has no state of Adam: its moments start from zero" in capsys.readouterr().out


def test_each_network_loads_from_a_file_that_has_more(released, pose_model):
    path, _ = released
    learner = SfMLearner(CONFIG)
    learner.restore(path)
    images = random_images(3)
    depth = load_depth_predictor(path, 32, 32).predict(images)
    np.testing.assert_allclose(depth, learner.predict_depth(images)[..., 0], rtol=1e-5)
    # The pose model has masks, which prediction does without; and a depth network, which is fit for use.
    path, learner = pose_model
    sources = random_images(12)
    poses = load_pose_predictor(path, 32, 32, 5).predict(images, sources)
    np.testing.assert_allclose(poses, learner.predict_pose(images, sources), rtol=1e-5, atol=1e-9)
    depth = load_depth_predictor(path, 32, 32).predict(images)
    np.testing.assert_allclose(depth, learner.predict_depth(images)[..., 0], rtol=1e-5)


def test_a_file_with_masks_loads_without_them(pose_model):
    path, learner = pose_model
    without = SfMLearner(TrainConfig(img_height=32, img_width=32, seq_length=5))
    assert without.restore(path)
    for name, variable in without.release_variables().items():
        np.testing.assert_array_equal(variable, learner.release_variables()[name])


@pytest.mark.usefixtures("small_depth_network")
def test_optimiser_and_step_come_back(tmp_path):
    learner, other = (SfMLearner(dataclasses.replace(CONFIG, num_scales=1)) for _ in range(2))
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
    with pytest.raises(UserError, match=r"model-190532 lacks 18 of 99 variables: pose_exp_net/exp/upcnv"):
        SfMLearner(TrainConfig(explain_reg_weight=0.2)).restore(released[0])
    message = (
        r"other shapes: pose_exp_net/cnv1/weights is \[7, 7, 9, 16\], expected \[7, 7, 15, 16\] "
        r"\(its pose network sees 3 frames: seq_length=3\), pose_exp_net/pose"
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
    path = save(tmp_path, saved)
    with pytest.raises(UserError) as error:
        restore(path, small_variables())
    assert str(error.value) == (
        f"checkpoint {path} lacks 1 of 2 variables: net/b; has variables of other shapes: net/a is [1], expected [2]; "
        "has, of the shapes of those it lacks, also: net/kernel"
    )
    del saved["net/a"], saved["net/kernel"]
    path = save(tmp_path, {**saved, **small_variables()})
    restore(path, small_variables())


def test_wrong_paths_are_named(tmp_path):
    save(tmp_path, small_variables())
    expected = r"model-4 not found: expected .*model-4\.index and .*; the folder holds model-3$"
    with pytest.raises(UserError, match=expected):
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
    path = save(tmp_path, small_variables(5.0))
    file = tmp_path / f"model-3{suffix}"
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    else:
        file.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"not a checkpoint"}[damage])
    assert_refused(path)


def test_every_flipped_byte_is_told(tmp_path):
    path = save(tmp_path, small_variables(5.0))
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


def test_values_that_are_not_finite_are_refused(tmp_path):
    path = save(tmp_path, small_variables(np.nan))
    with pytest.raises(UserError, match="not finite: net/a, net/b"):
        restore(path, small_variables())


def test_the_step_is_int64_here_and_int32_in_the_file(tmp_path):
    path = save(
        tmp_path, {GLOBAL_STEP: tf.Variable(7, dtype=tf.int64), "train_op/other": tf.Variable(8, dtype=tf.int64)}
    )
    types = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
    assert types == {GLOBAL_STEP: tf.int32, "train_op/other": tf.int64}
    assert read_scalar(path, GLOBAL_STEP, 0) == 7
    step = tf.Variable(0, dtype=tf.int64)
    restore(path, {GLOBAL_STEP: step})
    assert int(step) == 7


def test_one_number_is_read(tmp_path):
    path = save(tmp_path, {MIN_DISP: tf.Variable(0.5)})
    assert read_scalar(path, MIN_DISP, 0.01) == 0.5
    assert read_scalar(path, LR_DECAY_STEP, -1) == -1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.float32(np.nan), "expected train_op/min_disp to be one finite number, found nan"),
        (np.float32(np.inf), "expected train_op/min_disp to be one finite number, found inf"),
        (np.float32([0.01, 0.1]), "expected train_op/min_disp to be one finite number, found [0."),
        ("0.01", "expected train_op/min_disp to be one finite number, found b'0.01'"),
        (np.float32(-0.01), "expected train_op/min_disp to be above 0, found -0.01"),
        (np.float32(0), "expected train_op/min_disp to be above 0, found 0"),
    ],
    ids=["nan", "infinite", "two", "text", "negative", "zero"],
)
def test_a_range_of_disparity_that_is_none_is_refused(pose_model, tmp_path, value, message):
    """By training, and by all that predicts or exports, which build the network of a checkpoint."""
    _, learner = pose_model
    path = save(tmp_path, {MIN_DISP: tf.Variable(value)})
    for load in (learner.restore, learner.restore_weights, lambda path: load_network(path, "depth")):
        with pytest.raises(UserError, match=re.escape(f"checkpoint {path}: {message}")):
            load(path)


def test_shapes_are_listed(released, tmp_path):
    path = save(tmp_path, {**small_variables(), "b/step": tf.Variable(1)})
    shapes = list_shapes(path)
    assert list(shapes.items()) == [("b/step", []), ("net/a", [2]), ("net/b", [1, 1])]
    path, values = released
    assert list_shapes(path) == {name: list(value.shape) for name, value in values.items()}


@pytest.mark.parametrize("read", [list_shapes, lambda path: read_scalar(path, "net/b", 0)], ids=["shapes", "scalar"])
def test_other_readers_tell_damage_too(tmp_path, read):
    path = save(tmp_path, small_variables())
    with pytest.raises(UserError, match="model-4 not found"):
        read(str(tmp_path / "model-4"))
    index = tmp_path / "model-3.index"
    content = index.read_bytes()
    # The last 48 bytes: where two blocks are and how long, here 2^62 bytes, and the mark of the format.
    promise = (2 * (b"\0" + b"\xff" * 8 + b"\x3f")).ljust(40, b"\0") + content[-8:]
    for damaged in (b"not a checkpoint", content[:-48] + promise):
        index.write_bytes(damaged)
        with pytest.raises(UserError, match="model-3 is damaged"):
            read(path)


def test_what_cannot_be_written_is_an_os_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory") as error:
        save(tmp_path / "file", small_variables())
    assert "\n" not in str(error.value)
