import math
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig, device
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.trainer import Trainer


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formatted")
    write_formatted_data(folder, count=4)
    return folder


def trainer(dataset_dir, checkpoint_dir, **options):
    # Without validation, which has tests of its own.
    settings = {"batch_size": 2, "img_height": 32, "img_width": 64, "num_scales": 1, "val_freq": 0}
    return Trainer(
        TrainConfig(dataset_dir=str(dataset_dir), checkpoint_dir=str(checkpoint_dir), **{**settings, **options})
    )


@pytest.mark.usefixtures("small_depth_network")
def test_resumed_training_equals_uninterrupted(dataset_dir, tmp_path, capsys):
    whole = trainer(dataset_dir, tmp_path / "whole", max_steps=4)
    whole.run()
    trainer(dataset_dir, tmp_path / "parts", max_steps=3).run()
    resumed = trainer(dataset_dir, tmp_path / "parts", max_steps=4, continue_train=True)
    assert resumed.step == 2
    resumed.run()
    assert whole.step == resumed.step == 3
    for name, variable in whole.learner.state().items():
        np.testing.assert_array_equal(resumed.learner.state()[name], variable, err_msg=name)
    # An epoch is two steps: one file for each, and the newest under its own name.
    names = sorted(path.stem for path in (tmp_path / "parts").glob("*.index"))
    assert names == ["model-2", "model.latest"]
    finished = trainer(dataset_dir, tmp_path / "parts", max_steps=4, continue_train=True)
    finished.run()
    assert "nothing to do: step 3 is reached" in capsys.readouterr().out


@pytest.mark.usefixtures("small_depth_network")
def test_a_run_that_is_stopped_before_its_first_step_keeps_its_place(dataset_dir, tmp_path):
    trainer(dataset_dir, tmp_path, max_steps=4).run()
    for _ in range(2):
        run = trainer(dataset_dir, tmp_path, max_steps=9, continue_train=True)
        assert (run.step, run.position) == (3, 6)
        assert list(run.steps(stopped=[2])) == []


@pytest.mark.usefixtures("small_depth_network")
def test_a_run_does_not_continue_in_the_folder_of_another(dataset_dir, tmp_path):
    for name in ("one", "other"):
        trainer(dataset_dir, tmp_path / name, max_steps=2).run()
    before = {path: path.read_bytes() for path in (tmp_path / "other").iterdir()}
    path = str(tmp_path / "one" / "model.latest")
    with pytest.raises(UserError, match=r"other holds an earlier run .*, which init_checkpoint_file=.* is not of"):
        trainer(dataset_dir, tmp_path / "other", max_steps=4, continue_train=True, init_checkpoint_file=path)
    assert {path: path.read_bytes() for path in (tmp_path / "other").iterdir()} == before
    trainer(dataset_dir, tmp_path / "new", max_steps=4, continue_train=True, init_checkpoint_file=path).run()
    trainer(dataset_dir, tmp_path / "one", max_steps=4, continue_train=True, init_checkpoint_file=path).run()


@pytest.mark.usefixtures("small_depth_network")
def test_checkpoints_that_cannot_be_used_are_named(dataset_dir, tmp_path):
    run = tmp_path / "run"
    for folder, options, message in (
        (run, {"continue_train": True}, f"no checkpoint in {run}"),
        (run, {"init_checkpoint_file": str(run / "model-7")}, "model-7 not found"),
        (dataset_dir / "train.txt" / "run", {}, "txt/run: expected a folder of checkpoints, found: Not a directory"),
    ):
        with pytest.raises(UserError, match=message):
            trainer(dataset_dir, folder, **options)
    assert not run.exists()


@pytest.mark.usefixtures("small_depth_network")
def test_the_start_says_what_it_computes_on(dataset_dir, tmp_path, capsys):
    run = trainer(dataset_dir, tmp_path, max_steps=1)
    run.run()
    printed = capsys.readouterr().out
    assert f"TensorFlow {tf.__version__}, Keras {keras.__version__}\n" in printed
    assert ("device: CPU" in printed) == (not tf.config.list_physical_devices("GPU"))
    assert "precision: float32, XLA: off\n" in printed


@pytest.mark.usefixtures("small_depth_network")
def test_float32_is_float32_on_gpus_too(dataset_dir, tmp_path):
    """TensorFlow by itself lets them take TensorFloat-32."""
    for precision, expected in (("tensorfloat32", True), ("float32", False)):
        trainer(dataset_dir, tmp_path / precision, precision=precision)
        assert tf.config.experimental.tensor_float_32_execution_enabled() == expected
    tf.config.experimental.enable_tensor_float_32_execution(True)
    device.set_up_gpus()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.mark.usefixtures("small_depth_network")
def test_the_time_of_a_step_is_that_of_the_steps_since(dataset_dir, tmp_path, capsys, monkeypatch):
    """Also right after resuming between two reports."""
    clock = iter(range(0, 1000, 6))
    run = trainer(dataset_dir, tmp_path, max_steps=4, summary_freq=100)
    run.run()
    monkeypatch.setattr("sfmlearner_tf.records.time", SimpleNamespace(time=lambda: next(clock)))
    trainer(dataset_dir, tmp_path, max_steps=9, summary_freq=4, continue_train=True).run()
    # Six seconds for step 4 alone, six for steps 5 to 8.
    times = re.findall(r"time: ([\d.]+)/it", capsys.readouterr().out)
    assert times == ["6.0000", "1.5000"]


@pytest.mark.usefixtures("small_depth_network")
def test_a_folder_that_holds_a_run_is_kept(dataset_dir, tmp_path):
    run = tmp_path / "run"
    trainer(dataset_dir, run, max_steps=2).run()
    (run / "validation.csv").write_text("step,total\n1,2.0\n")
    (run / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(UserError, match=r"holds an earlier run \(checkpoint\): expected another folder"):
        trainer(dataset_dir, run, max_steps=2)
    for name in ("init_checkpoint_file", "anchor_checkpoint_file"):
        options = {name: str(run / "model.latest"), "anchor_weight": 0.1 if "anchor" in name else 0.0}
        with pytest.raises(UserError, match=f"{name}=.* lies in checkpoint_dir, which overwrite empties"):
            trainer(dataset_dir, run, overwrite=True, **options)
    anew = trainer(dataset_dir, run, max_steps=3, overwrite=True)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before  # until training starts
    anew.run()
    names = {path.name for path in run.iterdir() if "tfevents" not in path.name}
    files = {f"{name}{suffix}" for name in ("model-2", "model.latest") for suffix in (".index", ".data-00000-of-00001")}
    assert names == files | {"checkpoint", "config.json", "notes.txt"}
    assert len(list(run.glob("*tfevents*"))) == 1


@pytest.mark.usefixtures("small_depth_network")
def test_a_run_that_was_stopped_before_its_first_save_starts_again(dataset_dir, tmp_path):
    steps = trainer(dataset_dir, tmp_path, max_steps=6).steps()
    next(steps)
    steps.close()
    assert (tmp_path / "config.json").exists()
    trainer(dataset_dir, tmp_path, max_steps=2).run()


@pytest.mark.usefixtures("small_depth_network")
def test_another_architecture_does_not_continue(dataset_dir, tmp_path):
    trainer(dataset_dir, tmp_path, max_steps=2).run()
    for options, message in (
        ({"explain_reg_weight": 0.2}, r"explain_reg_weight was 0\.0, now 0\.2 \(masks are learned only above 0\)"),
        ({"num_scales": 2, "min_disp": 0.1}, r"min_disp was 0\.01, now 0\.1; num_scales was 1, now 2"),
    ):
        with pytest.raises(UserError, match=f"another architecture: {message}"):
            trainer(dataset_dir, tmp_path, max_steps=4, continue_train=True, accept_changes=True, **options)


@pytest.mark.usefixtures("small_depth_network")
def test_other_changes_are_named_and_may_be_accepted(dataset_dir, tmp_path, capsys):
    trainer(dataset_dir, tmp_path, max_steps=2, learning_rate=0.001, seed=3).run()
    other_data = tmp_path / "data"
    write_formatted_data(other_data, count=3)
    options = {"max_steps": 3, "continue_train": True, "ssim_weight": 0.85, "learning_rate": 0.0001, "seed": 4}
    changes = [
        r"learning_rate was 0\.001, now 0\.0001",
        r"ssim_weight was 0\.0, now 0\.85",
        "seed was 3, now 4",
        f"train.txt of {other_data} lists other examples than before",
    ]
    with pytest.raises(UserError, match=f"model.latest as before: {'; '.join(changes)} .accept_changes continues"):
        trainer(other_data, tmp_path, **options)
    capsys.readouterr()
    resumed = trainer(other_data, tmp_path, accept_changes=True, **options)
    assert re.search("model.latest with changes:\n  " + "\n  ".join(changes), capsys.readouterr().out)
    assert (resumed.step, resumed.position) == (1, 2)
    resumed.run()
    # From then on these are the run's own.
    trainer(other_data, tmp_path, **options)


@pytest.mark.usefixtures("small_depth_network")
def test_files_without_config_json_continue_as_ever(dataset_dir, tmp_path):
    trainer(dataset_dir, tmp_path, max_steps=2, seed=3).run()
    (tmp_path / "config.json").unlink()
    same = trainer(dataset_dir, tmp_path, continue_train=True, seed=3, smooth_weight=0.1, batch_size=4)
    assert (same.step, same.position) == (1, 2)
    with pytest.raises(UserError, match="seed was 3, now 4"):
        trainer(dataset_dir, tmp_path, continue_train=True, seed=4)


@pytest.mark.usefixtures("small_depth_network")
def test_init_checkpoint_file_sets_the_weights_and_starts_at_step_0(dataset_dir, tmp_path):
    first = trainer(dataset_dir, tmp_path / "first", max_steps=3)
    first.run()
    path = str(tmp_path / "first" / "model-2")
    with pytest.raises(UserError, match=r"trained with min_disp=0\.01, expected 0\.1"):
        trainer(dataset_dir, tmp_path / "other", init_checkpoint_file=path, min_disp=0.1)
    start = trainer(dataset_dir, tmp_path / "second", init_checkpoint_file=path)
    assert start.step == 0
    for name, variable in first.learner.release_variables().items():
        np.testing.assert_array_equal(start.learner.release_variables()[name], variable)
    assert not start.learner.optimizer.state()["depth_net/features/weights/Adam"].numpy().any()
    goes_on = trainer(dataset_dir, tmp_path / "third", init_checkpoint_file=path, continue_train=True)
    assert goes_on.step == 2
    assert goes_on.learner.optimizer.state()["depth_net/features/weights/Adam"].numpy().any()


@pytest.mark.usefixtures("small_depth_network")
def test_summaries_carry_the_release_s_tags(dataset_dir, tmp_path, capsys):
    trainer(dataset_dir, tmp_path, max_steps=3, summary_freq=2, explain_reg_weight=0.2, num_scales=4).run()
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
    # Each disparity image is as bright as it can be, as the release's are.
    disparities = [tf.io.decode_png(png) for png in found["scale0_disparity_image"][1][2:]]
    assert [int(np.max(image)) for image in disparities] == [255, 255]


@pytest.mark.usefixtures("small_depth_network")
def test_loss_that_is_not_finite_names_the_batch_and_saves_nothing(dataset_dir, tmp_path):
    healthy = trainer(dataset_dir, tmp_path, max_steps=3)
    healthy.run()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("model*")}
    broken = trainer(dataset_dir, tmp_path, max_steps=10, continue_train=True)
    broken.learner.release_variables()["depth_net/disp/biases"].assign([np.nan])
    with pytest.raises(UserError, match=r"loss of step 3 must be finite, got total nan.*its batch: .*\.jpg") as error:
        broken.run()
    assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("model*")} == before


@pytest.mark.usefixtures("small_depth_network")
def test_weights_that_are_not_finite_are_not_saved(dataset_dir, tmp_path):
    broken = trainer(dataset_dir, tmp_path, max_steps=10, save_latest_freq=1)
    moment = broken.learner.optimizer.state()["depth_net/features/weights/Adam"]
    moment.assign(tf.fill(moment.shape, np.nan))  # the loss of the first step is finite, its result is not
    with pytest.raises(UserError, match=r"model\.latest: not finite: depth_net/features/weights"):
        broken.run()
    assert not list(tmp_path.glob("model*"))


@pytest.mark.usefixtures("small_depth_network")
def test_without_val_txt_training_goes_on_and_says_so(tmp_path, capsys):
    write_formatted_data(tmp_path, count=2)
    (tmp_path / "val.txt").write_text("")
    trainer(tmp_path, tmp_path / "checkpoints", val_freq=1, max_steps=2).run()
    assert "no validation: " in capsys.readouterr().out
    assert not (tmp_path / "checkpoints" / "validation.csv").exists()
