import math

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.trainer import Trainer


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formatted")
    write_formatted_data(folder, count=4)
    return folder


def trainer(dataset_dir, checkpoint_dir, **options):
    settings = {"batch_size": 2, "img_height": 32, "img_width": 64, "summary_freq": 100, **options}
    return Trainer(TrainConfig(dataset_dir=str(dataset_dir), checkpoint_dir=str(checkpoint_dir), **settings))


def test_resumed_training_equals_uninterrupted(dataset_dir, tmp_path, capsys):
    whole = trainer(dataset_dir, tmp_path / "whole", max_steps=6)
    whole.run()
    trainer(dataset_dir, tmp_path / "parts", max_steps=4).run()
    resumed = trainer(dataset_dir, tmp_path / "parts", max_steps=6, continue_train=True)
    assert resumed.step == 3
    resumed.run()
    assert whole.step == resumed.step == 5
    for name, variable in whole.learner.state().items():
        np.testing.assert_array_equal(resumed.learner.state()[name], variable, err_msg=name)
    # An epoch is two steps: one file for each, and the newest under its own name.
    names = sorted(path.stem for path in (tmp_path / "parts").glob("*.index"))
    assert names == ["model-2", "model-4", "model.latest"]
    assert "DispNet: 31,596,900 parameters\nPoseExpNet: 1,590,668 parameters\n" in capsys.readouterr().out
    finished = trainer(dataset_dir, tmp_path / "parts", max_steps=6, continue_train=True)
    finished.run()
    assert "nothing to do: step 5 is reached" in capsys.readouterr().out


def test_init_checkpoint_file_sets_the_weights_and_starts_at_step_0(dataset_dir, tmp_path):
    first = trainer(dataset_dir, tmp_path / "first", max_steps=3)
    first.run()
    path = str(tmp_path / "first" / "model-2")
    start = trainer(dataset_dir, tmp_path / "second", init_checkpoint_file=path)
    assert start.step == 0
    for name, variable in first.learner.weights.items():
        np.testing.assert_array_equal(start.learner.weights[name], variable)
    assert not start.learner.optimizer.state()["depth_net/cnv1/weights/Adam"].numpy().any()
    goes_on = trainer(dataset_dir, tmp_path / "third", init_checkpoint_file=path, continue_train=True)
    assert goes_on.step == 2
    assert goes_on.learner.optimizer.state()["depth_net/cnv1/weights/Adam"].numpy().any()


def test_summaries_carry_the_release_s_tags(dataset_dir, tmp_path, capsys):
    trainer(dataset_dir, tmp_path, max_steps=3, summary_freq=2, explain_reg_weight=0.2).run()
    assert "Epoch: [ 1] [    2/    2] time: " in capsys.readouterr().out
    found = {}
    (events,) = tmp_path.glob("events.out.tfevents.*")
    for event in tf.compat.v1.train.summary_iterator(str(events)):
        for value in event.summary.value:
            found[value.tag] = (event.step, tf.make_ndarray(value.tensor))
    expected = {"total_loss", "pixel_loss", "smooth_loss", "exp_loss", "tx", "ty", "tz", "rx", "ry", "rz"}
    for scale in range(4):
        expected |= {f"scale{scale}_depth", f"scale{scale}_disparity_image", f"scale{scale}_target_image"}
        for source in range(2):
            kinds = ("exp_mask", "source_image", "projected_image", "proj_error")
            expected |= {f"scale{scale}_{kind}_{source}" for kind in kinds}
    assert set(found) == expected
    assert {step for step, _ in found.values()} == {2}
    terms = [float(found[tag][1]) for tag in ("pixel_loss", "smooth_loss", "exp_loss")]
    assert math.isclose(float(found["total_loss"][1]), sum(terms), rel_tol=1e-5)
    # The picture is the target that the step saw: width, height and PNGs, one an example.
    width, height, *pictures = found["scale0_target_image"][1]
    assert (int(width), int(height), len(pictures)) == (64, 32, 2)


def test_loss_that_is_not_finite_names_the_batch_and_saves_nothing(dataset_dir, tmp_path):
    healthy = trainer(dataset_dir, tmp_path, max_steps=3)
    healthy.run()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("model*")}
    broken = trainer(dataset_dir, tmp_path, max_steps=10, continue_train=True)
    broken.learner.weights["depth_net/disp1/biases"].assign([np.nan])
    with pytest.raises(UserError, match=r"loss of step 3 must be finite, got total nan.*its batch: .*\.jpg") as error:
        broken.run()
    assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("model*")} == before


def test_weights_that_are_not_finite_are_not_saved(dataset_dir, tmp_path):
    # A ReLU turns NaN into 0, so the loss stays finite.
    broken = trainer(dataset_dir, tmp_path, max_steps=10)
    weights = broken.learner.weights["depth_net/cnv1/weights"]
    weights.assign(tf.fill(weights.shape, np.nan))
    with pytest.raises(UserError, match=r"model-2: not finite: depth_net/cnv1/weights"):
        broken.run()
    assert not list(tmp_path.glob("model*"))
