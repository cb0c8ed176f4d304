"""For each way of going wrong a training run that is made to go wrong in that way."""

import re

import numpy as np
import pytest
from PIL import Image

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.checkpoint import GLOBAL_STEP, read_scalar
from sfmlearner_tf.config import PRESETS
from sfmlearner_tf.data.batches import make_batches
from sfmlearner_tf.data.formatted import Example, write_example
from sfmlearner_tf.data.synthetic import intrinsics, make_scene, trajectory
from sfmlearner_tf.data.synthetic_render import render_image
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.trainer import Trainer


def trainer(dataset_dir, checkpoint_dir, **options):
    settings = {"batch_size": 2, "img_height": 32, "img_width": 64, "num_scales": 1, "val_freq": 0, "watch_freq": 1}
    folders = {"dataset_dir": str(dataset_dir), "checkpoint_dir": str(checkpoint_dir)}
    return Trainer(TrainConfig(**folders, **{**settings, "watch_after": 0, **options}))


def write_frames(folder, examples):
    """Formatted data of the given frames: for each example its three frames uint8 [32, 64, 3]."""
    lines = []
    for number, frames in enumerate(examples):
        example = Example("drive", f"{number:010d}")
        write_example(str(folder), example, [Image.fromarray(frame) for frame in frames], (38.0, 38.0, 32.0, 16.0))
        lines.append(f"{example.folder} {example.frame}\n")
    (folder / "train.txt").write_text("".join(lines))


def warnings(capsys):
    return re.findall(r"^warning: step \d+: ([a-z ]+)", capsys.readouterr().out, re.MULTILINE)


def scale_weights(run, name, factor):
    weights = run.learner.release_variables()[name]
    weights.assign(factor * weights)


def noise(seed):
    return np.random.RandomState(seed).randint(0, 256, (32, 64, 3)).astype(np.uint8)


@pytest.mark.usefixtures("small_depth_network")
def test_frames_that_stand_still(tmp_path, capsys):
    write_frames(tmp_path, [[noise(seed)] * 3 for seed in range(40)])
    run = trainer(tmp_path, tmp_path / "checkpoints", learning_rate=1e-8, max_steps=14)
    for name in ("depth_net/disp/weights", "pose_exp_net/pose/pred/weights"):  # networks that see nothing
        scale_weights(run, name, 0)
    run.run()
    found = warnings(capsys)
    assert "depth is constant over the image" in found
    assert "the camera does not move" in found


@pytest.mark.usefixtures("small_depth_network")
def test_identical_frames_raise_the_alarm_from_the_start(tmp_path, capsys):
    write_frames(tmp_path, [[noise(seed)] * 3 for seed in range(40)])
    trainer(tmp_path, tmp_path / "checkpoints", watch_after=500, max_steps=12).run()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert "step 10: in 100% of the examples the target and its sources are the same picture; usual cause: " in line
    assert line.endswith("(identical_frames)")


@pytest.mark.usefixtures("small_depth_network")
def test_exploding_poses(tmp_path, capsys):
    write_formatted_data(tmp_path, count=40)
    trainer(tmp_path, tmp_path / "warned", learning_rate=0.1, max_steps=14).run()
    found = warnings(capsys)
    assert found.count("poses explode") == 2  # translation and rotation
    assert "most pixels are projected outside the source image" in found
    options = {"learning_rate": 0.1, "max_steps": 100, "save_latest_freq": 5, "on_collapse": "stop"}
    stopped = trainer(tmp_path, tmp_path / "stopped", **options)
    with pytest.raises(UserError, match=r"step 10: .*; usual cause: .*on_collapse=stop"):
        stopped.run()
    # The checkpoint from before the alarm stays as it was.
    assert stopped.step == 10
    latest = str(tmp_path / "stopped" / "model.latest")
    assert read_scalar(latest, GLOBAL_STEP, 0) == 5


def test_depth_of_extremes(tmp_path, capsys):
    write_formatted_data(tmp_path, count=40)
    run = trainer(tmp_path, tmp_path / "checkpoints", learning_rate=1e-8, max_steps=12)
    batch = next(iter(make_batches(run.config, run.examples)))
    disparity = 1 / run.learner.forward(batch)["depth"][0].numpy()
    logits = -np.log(10 / (disparity - 0.01) - 1)
    # So that the sigmoid is 0 for half of the pixels and 1 for the others.
    scale_weights(run, "depth_net/disp1/weights", 1e5)
    run.learner.release_variables()["depth_net/disp1/biases"].assign([-1e5 * np.median(logits)])
    run.run()
    assert "depth takes only its smallest and largest values" in warnings(capsys)


def test_depth_upside_down(tmp_path):
    """A camera that was mounted upside down: what is learned is the ground above and the sky below."""
    scene = make_scene(seed=1, frames=24)
    camera = intrinsics(32, 64)
    frames = [np.flipud(render_image(scene, np.linalg.inv(pose), camera, 32, 64)) for pose in trajectory(scene)]
    triplets = [frames[i - 1 : i + 2] for i in range(1, 23)]
    write_frames(tmp_path, 10 * triplets)
    options = {"learning_rate": 0.001, "lr_decay_after": 1.0, "max_steps": 100, "batch_size": 1, "on_collapse": "stop"}
    run = trainer(tmp_path, tmp_path / "checkpoints", **{**PRESETS["recommended"], **options})
    with pytest.raises(UserError, match=r"step \d+: depth is upside down: the bottom of the image is farther"):
        run.run()


@pytest.mark.usefixtures("small_depth_network")
def test_masks_that_explain_nothing(tmp_path, capsys):
    write_formatted_data(tmp_path, count=40)
    run = trainer(tmp_path, tmp_path / "checkpoints", learning_rate=0.003, explain_reg_weight=1e-6, max_steps=18)
    run.run()
    assert "the explainability masks are " in warnings(capsys)


@pytest.mark.usefixtures("small_depth_network")
def test_exploding_gradient(tmp_path, capsys):
    """The poses are damaged after step 20, as by one update that is far too large, and the gradient stays large."""
    write_formatted_data(tmp_path, count=40)
    run = trainer(tmp_path, tmp_path / "checkpoints", smooth_weight=0, learning_rate=1e-6, max_steps=30)
    norms = {}
    for step in run.steps():
        norms[step.number] = step.readings["gradient_norm"]
        if step.number == 20:
            scale_weights(run, "pose_exp_net/pose/pred/weights", 1000)
    usual = np.median([norms[number] for number in range(1, 21)])
    assert min(norms[number] for number in range(21, 30)) > 100 * usual
    # The median of ten looks passes the limit when half of them are from after the damage.
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith("(exploding_gradient)")]
    assert line.startswith("warning: step 25: the gradient explodes")
