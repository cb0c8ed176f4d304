"""Prediction, evaluation and report on a generated world, with untrained networks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.data.synthetic_kitti import SyntheticKitti, write_dataset
from sfmlearner_tf.networks.disp_net import DispNet
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet

TOOLS = Path(__file__).parents[2] / "tools"
HEIGHT, WIDTH = 32, 64


def run(name, *options):
    command = [sys.executable, str(TOOLS / f"{name}.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world of two test scenes of six frames, and one checkpoint of both networks."""
    folder = tmp_path_factory.mktemp("reproduce")
    options = SyntheticKitti(
        num_train_scenes=1, num_test_scenes=2, frames_per_scene=6, img_height=HEIGHT, img_width=WIDTH, stereo=False
    )
    write_dataset(str(folder / "world"), options, 1)
    disp_net, pose_exp_net = DispNet(), PoseExpNet(2)
    disp_net(tf.zeros([1, HEIGHT, WIDTH, 3]))
    pose_exp_net(tf.zeros([1, HEIGHT, WIDTH, 3]), tf.zeros([1, HEIGHT, WIDTH, 6]))
    variables = {**disp_net.release_variables(), **pose_exp_net.release_variables()}
    CheckpointFolder(str(folder), variables).save_step(5)
    return folder


def reproduce(world, *options):
    return run(
        "reproduce",
        f"--kitti_raw={world / 'world' / 'kitti_raw'}",
        f"--kitti_odom={world / 'world' / 'kitti_odometry'}",
        f"--ckpt_depth={world / 'model-5'}",
        f"--ckpt_pose={world / 'model-5'}",
        f"--test_file_list={world / 'world' / 'kitti_raw' / 'test_files.txt'}",
        f"--output_dir={world / 'out'}",
        "--test_seqs=09",
        "--seq_length=3",
        f"--img_height={HEIGHT}",
        f"--img_width={WIDTH}",
        *options,
    )


def test_one_command_from_checkpoint_to_report(world):
    done = reproduce(world)
    assert done.returncode == 0, done.stderr
    out = world / "out"
    listed = (world / "world" / "kitti_raw" / "test_files.txt").read_text().split()
    assert np.load(out / "model-5.npy", allow_pickle=False).shape == (len(listed), HEIGHT, WIDTH)
    assert [path.name for path in sorted((out / "motion" / "09").iterdir())] == [f"{i:06d}.txt" for i in range(4)]
    assert "Depth to 80 m, against K, released code and model" in done.stdout
    assert "Depth to 50 m, against K" in done.stdout
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6 + 1
    assert "Motion, 09" in page
    cells = {
        (row["table"], row["published_as"], row["metric"]): row for row in json.loads((out / "report.json").read_text())
    }
    depth = json.loads((out / "depth_80m.json").read_text())
    cell = cells["Depth to 80 m", "K", "abs_rel"]
    assert (cell["ours"], cell["published"]) == (depth["mean"]["abs_rel"], 0.208)
    ate = json.loads((out / "motion_results" / "09" / "ate.json").read_text())
    cell = cells["Snippet ATE (m), 09", "Ours", "ATE mean"]
    assert (cell["ours"], cell["published"]) == (ate["mean"], 0.021)

    again = reproduce(world)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("already done") == 8
    assert "predict" not in again.stdout.replace("predict depth: already done", "").replace(
        "predict motion of 09: already done", ""
    )


def test_mistakes_end_in_one_line(world):
    odometry = f"--dataset_dir={world / 'world' / 'kitti_odometry'}"
    output_dir, ckpt_file = f"--output_dir={world / 'bad'}", f"--ckpt_file={world / 'model-5'}"
    for done, message in (
        (run("reproduce", "--kitti_raw=x"), "expected --kitti_raw with --ckpt_depth"),
        (reproduce(world, f"--ckpt_depth={world / 'model-6'}"), "model-6 not found"),
        (run("test_kitti_pose", odometry, output_dir, ckpt_file, "--seq_length=4"), "--seq_length=4: expected an odd"),
        (run("test_kitti_pose", odometry, output_dir, ckpt_file, "--test_seq=5"), "times.txt: expected a text file"),
    ):
        assert done.returncode == 1
        # TensorFlow may have written lines of its own before.
        last_line = done.stderr.splitlines()[-1]
        assert last_line.startswith("error: ")
        assert message in last_line
        assert "Traceback" not in done.stderr
    assert not (world / "bad").exists()
