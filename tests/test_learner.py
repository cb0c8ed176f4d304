import dataclasses
import gc
import inspect

import numpy as np
import pytest
import tensorflow as tf

import sfmlearner_tf
from golden_numbers import FOLDER, golden_learner
from sfmlearner_tf import Batch, SfMLearner, TrainConfig, checkpoint
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.losses.term import add_up
from small_network import SteadyNet


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(FOLDER / "parity_64x192_seq5.npz"))


@pytest.fixture
def steady_depth_network(small_depth_network, monkeypatch):
    """A small depth network that is the same in training, as the release's are."""
    monkeypatch.setattr("sfmlearner_tf.networks.disp_net.SmallNet", SteadyNet)


def batch_of(batch_size, height, width, num_sources):
    random = np.random.RandomState(0)
    target = random.randint(0, 256, (batch_size, height, width, 3), np.uint8)
    sources = random.randint(0, 256, (batch_size, height, width, 3 * num_sources), np.uint8)
    intrinsics = np.tile(
        np.float32([[width * 0.6, 0, width / 2], [0, width * 0.6, height / 2], [0, 0, 1]]), (batch_size, 1, 1)
    )
    return target, sources, intrinsics


def test_public_names():
    for name in sfmlearner_tf.__all__:
        assert inspect.getdoc(getattr(sfmlearner_tf, name)), f"{name} has no docstring"


def count_graphs():
    """Those of functions."""
    gc.collect()
    return sum(type(found).__name__ == "FuncGraph" for found in gc.get_objects())


@pytest.mark.usefixtures("small_depth_network")
def test_memory_is_free_once_the_learner_is_gone():
    """A graph that outlives its learner holds all its weights and moments."""
    before = count_graphs()
    options = {"explain_reg_weight": 0.2, "ssim_weight": 0.5, "smoothness": "edge_aware"}
    learner = SfMLearner(TrainConfig(num_scales=2, **options))
    learner.train_step(*batch_of(2, 32, 64, 2))
    assert count_graphs() > before
    del learner
    assert count_graphs() <= before


def test_forward_and_training_at_any_size():
    height, width, seq_length = 45, 70, 7
    config = TrainConfig(
        batch_size=2, img_height=height, img_width=width, seq_length=seq_length, explain_reg_weight=0.2
    )
    learner = SfMLearner(config)
    batch = batch_of(2, height, width, seq_length - 1)
    out = learner.forward(*batch)
    assert out["poses"].shape == (2, seq_length - 1, 6)
    for scale in range(4):
        size = (2, -(-height // 2**scale), -(-width // 2**scale))
        assert out["depth"][scale].shape == (*size, 1)
        assert out["masks"][scale].shape == (*size, seq_length - 1)
        assert out["projected"][scale].shape == (*size, 3 * (seq_length - 1))
    losses = [learner.train_step(*batch) for _ in range(6)]
    assert set(losses[0]) == {"total", "pixel", "smooth", "explain"}
    np.testing.assert_allclose(losses[0]["total"], out["losses"]["total"], rtol=1e-5)
    np.testing.assert_allclose(losses[0]["total"], sum(losses[0][name] for name in ("pixel", "smooth", "explain")))
    assert losses[-1]["total"] < losses[0]["total"]
    assert int(learner.global_step) == 6


def test_predictions_are_those_of_forward(golden):
    learner = golden_learner(golden, 0.0)
    batch = (golden["tgt"], golden["src"], golden["intrinsics"])
    out = learner.forward(*batch)
    np.testing.assert_allclose(learner.predict_depth(golden["tgt"]), out["depth"][0], rtol=1e-6)
    np.testing.assert_allclose(learner.predict_pose(golden["tgt"], golden["src"]), out["poses"], atol=1e-9)


def test_training_step_compiles_under_xla_and_agrees(monkeypatch):
    # The code need not be fast, and to make it so takes most of the time.
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    batch, options = batch_of(2, 32, 64, 2), {"explain_reg_weight": 0.2, "num_scales": 2}
    plain, compiled = (SfMLearner(TrainConfig(jit_compile=jit, **options)) for jit in (False, True))
    for _ in range(2):
        expected, found = plain.train_step(*batch), compiled.train_step(*batch)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4)


def test_same_seed_same_training(golden):
    batch = (golden["tgt"], golden["src"], golden["intrinsics"])
    config = TrainConfig(batch_size=2, img_height=64, img_width=192, seq_length=5, num_scales=1)
    learner, other = SfMLearner(config), SfMLearner(config)
    first = [learner.train_step(*batch)["total"] for _ in range(2)]
    # With the graph that is there, for its making takes as long as the rest of this test.
    for name, variable in learner.state().items():
        variable.assign(other.state()[name])
    np.testing.assert_array_equal([learner.train_step(*batch)["total"] for _ in range(2)], first)


@pytest.mark.usefixtures("small_depth_network")
@pytest.mark.parametrize("num_scales", [2, 4])
def test_scales_of_the_smallest_images(num_scales):
    config = TrainConfig(batch_size=1, img_height=32, img_width=32, num_scales=num_scales, explain_reg_weight=0.2)
    learner = SfMLearner(config)
    out = learner.forward(*batch_of(1, 32, 32, 2))
    assert len(out["depth"]) == len(out["projected"]) == len(out["masks"]) == num_scales
    assert np.isfinite(learner.train_step(*batch_of(1, 32, 32, 2))["total"])


def test_images_must_be_uint8():
    learner = SfMLearner(TrainConfig(batch_size=1, img_height=32, img_width=32))
    target, sources, intrinsics = batch_of(1, 32, 32, 2)
    with pytest.raises(ValueError, match="images must be uint8, got float32"):
        learner.forward(tf.cast(target, tf.float32), sources, intrinsics)
    with pytest.raises(ValueError, match=r"sources must be \[B, H, W, 6\]"):
        learner.forward(target, sources[..., :3], intrinsics)


@pytest.mark.usefixtures("small_depth_network")
def test_the_learning_rate_drops_once():
    options = {"lr_decay_after": 0.5, "lr_decay_factor": 0.1}
    config = TrainConfig(img_height=32, img_width=64, num_scales=1, max_steps=4, **options)
    steady = SfMLearner(dataclasses.replace(config, lr_decay_after=1.0))
    decaying = SfMLearner(config)
    batch = batch_of(1, 32, 64, 2)

    def bias_after_step(learner):
        learner.train_step(*batch)
        return learner.release_variables()["pose_exp_net/pose/pred/biases"].numpy()

    for _ in range(2):
        before = bias_after_step(steady)
        np.testing.assert_array_equal(bias_after_step(decaying), before)
    full, tenth = bias_after_step(steady) - before, bias_after_step(decaying) - before
    np.testing.assert_allclose(tenth, 0.1 * full, rtol=1e-3, atol=1e-9)


@pytest.mark.usefixtures("small_depth_network")
def test_the_rate_drops_by_steps_and_stays_down(tmp_path):
    options = {"img_height": 32, "img_width": 64, "lr_decay_after": 0.5, "lr_decay_factor": 0.1}

    def rates(learner, steps):
        found = []
        for step in steps:
            learner.global_step.assign(step - 1)
            found.append(round(float(learner._learning_rate.at(learner.global_step + 1)) / 0.0002, 3))
        return found

    short = SfMLearner(TrainConfig(max_steps=1000, **options))
    assert rates(short, (1, 500, 501, 999)) == [1, 1, 0.1, 0.1]
    # A file without Adam's moments counts its steps all the same.
    only_weights = {**short.release_variables(), checkpoint.GLOBAL_STEP: short.global_step}
    short.global_step.assign(900)
    path = CheckpointFolder(str(tmp_path / "weights"), only_weights).save_step(900)
    short.restore(path)
    assert int(short.optimizer.iterations) == 0
    assert rates(short, (901,)) == [0.1]
    # A rate that has dropped does not rise with max_steps; one that has not drops later.
    for saved_at, expected in ((900, [0.1, 0.1]), (400, [1, 0.1])):
        short.global_step.assign(saved_at)
        path = short.save(str(tmp_path / str(saved_at)))
        longer = SfMLearner(TrainConfig(max_steps=4000, **options))
        longer.restore(path)
        assert rates(longer, (saved_at + 1, 2001)) == expected


@pytest.mark.usefixtures("steady_depth_network")
def test_the_step_in_two_equals_the_step():
    batch = Batch(*map(tf.constant, batch_of(2, 32, 64, 2)))
    whole, parts = (SfMLearner(TrainConfig(explain_reg_weight=0.2, num_scales=1)) for _ in range(2))
    for _ in range(2):
        expected = whole.train_step(batch)
        before = {name: variable.numpy() for name, variable in parts.state().items()}
        result = parts.compute_gradients(batch)
        for name, variable in parts.state().items():
            np.testing.assert_array_equal(variable, before[name], err_msg=name)  # it changes nothing
        parts.apply(result.gradients)
        np.testing.assert_allclose(add_up(result.means)["total"], expected["total"], rtol=1e-6)
    for name, variable in whole.release_variables().items():
        np.testing.assert_allclose(parts.release_variables()[name], variable, rtol=1e-5, atol=1e-7, err_msg=name)


def test_what_is_trained_is_the_same_on_both_stacks(tmp_path):
    path = SfMLearner(TrainConfig(seed=1)).save(str(tmp_path))
    learner = SfMLearner(TrainConfig(anchor_weight=0.1, anchor_checkpoint_file=path))
    # The anchor's variables are not among them.
    assert len(learner.trainable_variables) == len(learner.release_variables()) == 80
    assert all(isinstance(variable, tf.Variable) for variable in learner.trainable_variables)


@pytest.mark.usefixtures("small_depth_network")
def test_the_step_is_counted_where_an_accelerator_can_reach_it(tmp_path):
    """TensorFlow keeps int32 variables on the host, and XLA on a GPU refuses them; files hold int32 as the release."""
    learner = SfMLearner(TrainConfig(img_height=32, img_width=64))
    counters = {name: v for name, v in learner.state().items() if v.dtype.is_integer}
    assert {variable.dtype for variable in counters.values()} == {tf.int64}
    assert checkpoint.GLOBAL_STEP in counters
    reader = tf.train.load_checkpoint(learner.save(str(tmp_path)))
    assert reader.get_tensor(checkpoint.GLOBAL_STEP).dtype == np.int32


@pytest.mark.usefixtures("small_depth_network")
def test_saving_by_hand_deletes_nothing(tmp_path):
    learner = SfMLearner(TrainConfig(img_height=32, img_width=64))
    for step in range(12):
        learner.global_step.assign(step)
        learner.save(str(tmp_path))
    assert len(list(tmp_path.glob("model-*.index"))) == 12


@pytest.mark.usefixtures("small_depth_network")
def test_the_range_of_disparity_is_checked_on_restoring(tmp_path):
    paper, code = (SfMLearner(TrainConfig(img_height=32, img_width=64, min_disp=d)) for d in (0.1, 0.01))
    path = paper.save(str(tmp_path))
    paper.restore(path)
    with pytest.raises(UserError, match=r"trained with min_disp=0\.1, expected 0\.01"):
        code.restore(path)
    with pytest.raises(UserError, match=r"trained with min_disp=0\.1, expected 0\.01"):
        code.restore_weights(path)


def test_initial_disparity():
    image = np.random.RandomState(0).randint(0, 256, (1, 32, 64, 3)).astype(np.uint8)
    for min_disp in (0.01, 0.1):
        learner = SfMLearner(TrainConfig(initial_disp=0.5, min_disp=min_disp))
        np.testing.assert_allclose(1 / learner.predict_depth(image), 0.5, rtol=0.2)


@pytest.mark.usefixtures("steady_depth_network")
def test_an_anchor_holds_depth(tmp_path):
    path = SfMLearner(TrainConfig(seed=1)).save(str(tmp_path))
    batch = batch_of(2, 32, 64, 2)

    def depth_changes(**options):
        """By how much log depth is another after some steps."""
        learner = SfMLearner(TrainConfig(learning_rate=0.01, num_scales=1, **options))
        learner.restore(path)
        before = np.log(learner.predict_depth(batch[0]))
        losses = [learner.train_step(*batch) for _ in range(12)]
        return np.abs(np.log(learner.predict_depth(batch[0])) - before).mean(), losses

    free, _ = depth_changes()
    held, losses = depth_changes(anchor_weight=10.0, anchor_checkpoint_file=path)
    assert held < free / 3
    # The very first step is taken from where the anchor is.
    np.testing.assert_allclose(losses[0]["anchor"], 0, atol=1e-5)
    assert losses[1]["anchor"] > 0


def test_an_anchor_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="missing"):
        SfMLearner(TrainConfig(anchor_weight=0.1, anchor_checkpoint_file=str(tmp_path / "missing")))
