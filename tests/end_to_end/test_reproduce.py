"""Prediction, evaluation and report on a generated world, with untrained networks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forked import ASKS_FOR_MEMORY_FIRST, run_forked
from kitti_eval.locks import lock_folder
from kitti_eval.pose_files import read_tum
from kitti_eval.trajectory import predicted_vectors_to_poses
from sfmlearner_tf import TrainConfig, prediction, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.data.synthetic_kitti import SyntheticKitti, write_dataset
from sfmlearner_tf.networks.disp_net import DispNet
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet

TOOLS = Path(__file__).parents[2] / "tools"
# Of the images that the networks were trained on, as config.json says; the world's are smaller.
HEIGHT, WIDTH = 64, 96
NO_DEPTH, NO_MOTION = ("--kitti_raw=", "--ckpt_depth="), ("--kitti_odom=", "--ckpt_pose=")
CONFIG = TrainConfig(img_height=HEIGHT, img_width=WIDTH, seq_length=3)


def run(name, *options):
    return run_forked(str(TOOLS / f"{name}.py"), *options)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world of two test scenes of six frames, every second image a .jpg, and a checkpoint of both networks, in run/
    and, as it is without config.json, in bare/."""
    folder = tmp_path_factory.mktemp("reproduce")
    options = SyntheticKitti(
        num_train_scenes=1, num_test_scenes=2, frames_per_scene=6, img_height=32, img_width=64, stereo=False
    )
    write_dataset(str(folder / "world"), options, 1)
    images = [path for path in sorted((folder / "world").rglob("*.png")) if "proj_depth" not in path.parts]
    for path in images[::2]:
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    variables = {**DispNet().release_variables(), **PoseExpNet(2).release_variables()}
    # So far that the untrained network's tiny steps show in the decimals of the snippets.
    weight = variables["pose_exp_net/pose/pred/weights"]
    weight.assign(1000 * weight)
    for name in ("run", "bare"):
        CheckpointFolder(str(folder / name), variables).save_step(5)
    run_config.write(CONFIG, str(folder / "run"))
    return folder


def depth_flags(world, ckpt_file):
    raw = world / "world" / "kitti_raw"
    flags = (f"--dataset_dir={raw}", f"--split={raw / 'test_files.txt'}", f"--output_dir={world / 'depth'}")
    return (*flags, f"--ckpt_file={world / ckpt_file}")


def predict_depth(world, ckpt_file, *options):
    """The shape of what the command writes."""
    done = run("test_kitti_depth", *depth_flags(world, ckpt_file), *options)
    assert done.returncode == 0, done.stderr
    return np.load(world / "depth" / "model-5.npy", allow_pickle=False).shape


def test_missing_images_are_passed_over_where_asked_to(world, tmp_path):
    listed = tmp_path / "list.txt"
    names = (world / "world" / "kitti_raw" / "test_files.txt").read_text().split()
    listed.write_text("\n".join([names[0], names[0].replace("image_02", "image_09"), names[1]]) + "\n")
    flags = (*depth_flags(world, "run/model-5"), f"--test_file_list={listed}", "--split=eigen")
    done = run("test_kitti_depth", *flags)
    assert done.returncode == 1
    assert "expected this image or one named" in done.stderr
    done = run("test_kitti_depth", *flags, "--skip_missing")
    assert done.returncode == 0, done.stderr
    assert "depth of 2 images; 1 more are missing" in done.stdout
    depth = np.load(world / "depth" / "model-5.npy")
    assert (depth > 0).all(axis=(1, 2)).tolist() == [True, False, True]
    assert (depth[1] == -1).all()


def predict_pose(world, ckpt_file, *options):
    odometry = world / "world" / "kitti_odometry"
    flags = (f"--dataset_dir={odometry}", f"--output_dir={world / 'snippets'}", f"--ckpt_file={world / ckpt_file}")
    return run("test_kitti_pose", *flags, *options)


def reproduce_flags(world):
    return (
        f"--kitti_raw={world / 'world' / 'kitti_raw'}",
        f"--kitti_odom={world / 'world' / 'kitti_odometry'}",
        f"--ckpt_depth={world / 'run' / 'model-5'}",
        f"--ckpt_pose={world / 'run' / 'model-5'}",
        f"--test_file_list={world / 'world' / 'kitti_raw' / 'test_files.txt'}",
        f"--output_dir={world / 'out'}",
        "--test_seqs=9",
    )


def reproduce(world, *options):
    return run("reproduce", *reproduce_flags(world), *options)


def begin(world, *options):
    """The first step that `reproduce` does not skip; it and its command are stopped as soon as that runs."""
    command = [sys.executable, str(TOOLS / "reproduce.py"), *reproduce_flags(world), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        line = next(line for line in process.stdout if ": already done" not in line)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (child := children.read_text()):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert not Path("/proc", child.strip()).exists()
    return line.partition(":")[0]


@contextlib.contextmanager
def touched(path):
    """The file written anew with the content it has."""
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes())
    yield path
    os.utime(path, ns=(before, before))


def read_listed(world):
    return (world / "world" / "kitti_raw" / "test_files.txt").read_text().split()


@pytest.fixture(scope="module")
def reproduced(world):
    """What the first run prints."""
    done = reproduce(world)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_command_from_checkpoint_to_report(world, reproduced):
    out, listed = world / "out", read_listed(world)
    assert np.load(out / "model-5.npy", allow_pickle=False).shape == (len(listed), HEIGHT, WIDTH)
    assert [path.name for path in sorted((out / "motion" / "09").glob("*.txt"))] == [f"{i:06d}.txt" for i in range(4)]
    assert "Depth to 80 m, against K, released code and model" in reproduced
    assert "Depth to 50 m, against K" in reproduced
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


def test_what_is_done_is_not_done_again_unless_something_changed(world, reproduced):
    again = reproduce(world)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count(": already done") == reproduced.count(sys.executable) == 8
    sequence, run = world / "world" / "kitti_odometry" / "sequences" / "09", world / "run"
    for path in (run / "config.json", run / "model-5.index", next((sequence / "image_2").iterdir())):
        with touched(path):
            assert begin(world, *NO_DEPTH) == "predict motion of 09"
    with touched(sequence / "times.txt"):
        assert begin(world, *NO_DEPTH) == "true snippets of 09"
    listed = [(world / "world" / "kitti_raw" / name).with_suffix(".jpg") for name in read_listed(world)]
    with touched(next(path for path in listed if path.exists())):
        assert begin(world, *NO_MOTION) == "predict depth"


def test_figures_are_of_the_lidar_that_is_there(world, reproduced):
    listed = read_listed(world)
    date, drive, *_, name = Path(listed[1]).parts
    scan = world / "world" / "kitti_raw" / date / drive / "velodyne_points" / "data" / f"{name[:-4]}.bin"
    hidden = scan.rename(scan.with_suffix(".hidden"))
    for count in (len(listed) - 1, len(listed)):
        done = reproduce(world, *NO_MOTION)
        assert done.returncode == 0, done.stderr
        assert f"mean over {count} of {len(listed)} images" in (world / "out" / "report.html").read_text()
        assert json.loads((world / "out" / "depth_50m.json").read_text())["evaluated"] == count
        if hidden.exists():
            hidden.rename(scan)


def test_a_list_of_equal_length_is_predicted_anew(world, reproduced):
    before, image_files = np.load(world / "out" / "model-5.npy"), read_listed(world)
    with touched(world / "world" / "kitti_raw" / "test_files.txt") as path:
        path.write_text("\n".join(image_files[::-1]))
        done = reproduce(world, *NO_MOTION)
        path.write_text("\n".join(image_files))
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(world / "out" / "model-5.npy"), before[::-1], rtol=1e-5)


def test_nothing_but_its_own_files_is_touched(world):
    mine = world / "mine"
    notes = [mine / "notes.md", mine / "truth" / "09" / "notes.md", mine / "motion" / "09" / "notes.txt"]
    for path in notes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for sequences in ("09,", "..", "../../mine", str(mine), ""):
        done = reproduce(world, f"--output_dir={mine}", f"--test_seqs={sequences}")
        assert done.stderr.startswith("error: --test_seqs: expected numbers of sequences such as 9,10, found ")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    done = reproduce(world, f"--output_dir={mine}", *NO_DEPTH)
    assert done.returncode == 1
    assert "09: expected no text files but snippets that were written there before, found notes.txt" in done.stderr
    assert [path.read_text() for path in notes] == ["mine"] * 3


def test_two_runs_do_not_share_a_folder(world):
    with lock_folder(world / "locked"):
        done = reproduce(world, f"--output_dir={world / 'locked'}")
    assert done.stderr.startswith(f"error: {world / 'locked'}: another process works in this folder")
    assert done.returncode == 1


def test_depth_images_have_the_size_that_is_asked_for_or_the_release_s(world):
    count = len(read_listed(world))
    assert predict_depth(world, "run/model-5", "--img_height=32", "--img_width=128") == (count, 32, 128)
    # The release's size, since the authors' files tell nothing.
    assert predict_depth(world, "bare/model-5") == (count, 128, 416)


def test_depth_images_have_the_size_of_the_training_and_leave_memory_of_the_gpu_to_it(world):
    """That is asked for before TensorFlow computes anything; later would be an error."""
    code = ASKS_FOR_MEMORY_FIRST.format(tool="test_kitti_depth")
    done = run_forked("-c", code, *depth_flags(world, "run/model-5"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("asked for\n")
    predicted = np.load(world / "depth" / "model-5.npy", allow_pickle=False)
    assert predicted.shape == (len(read_listed(world)), HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("options", "height", "width"), [((), HEIGHT, WIDTH), (("--img_height=32", "--img_width=128"), 32, 128)]
)
def test_snippets_have_the_size_and_length_of_the_training(world, options, height, width):
    done = predict_pose(world, "run/model-5", *options)
    assert done.stdout == f"{world / 'snippets'}: 4 snippets of 3 frames\n", done.stderr
    predictor = prediction.load_pose_predictor(str(world / "run" / "model-5"), height, width)
    images = sorted((world / "world" / "kitti_odometry" / "sequences" / "09" / "image_2").iterdir())
    for first, vectors in enumerate(prediction.predict_motions(predictor, images, 4)):
        poses = read_tum(world / "snippets" / f"{first:06d}.txt").poses
        expected = predicted_vectors_to_poses(vectors)
        np.testing.assert_allclose(poses, expected, atol=1e-3 * np.abs(expected[:, :3, 3]).max())


def test_unfit_lengths_are_told_in_one_line(world):
    bare, bad = world / "bare" / "model-5", world / "bad"
    long = CheckpointFolder(str(world / "long"), PoseExpNet(num_sources=6).release_variables()).save_step(1)
    sequence = world / "world" / "kitti_odometry" / "sequences" / "09"
    short = f"{sequence}: expected at least 7 images, as the pose network sees, found 6"
    mismatch = f"{bare}: its pose network sees 3 frames, expected seq_length=3, got 5"
    for done, message in (
        (predict_pose(world, bare, f"--output_dir={bad}", "--seq_length=5"), mismatch),
        (predict_pose(world, bare, f"--output_dir={bad}", "--seq_length=4"), "--seq_length=4: expected an odd number"),
        (predict_pose(world, long, f"--output_dir={bad}"), short),
        # Without config.json the snippets are the paper's.
        (reproduce(world, *NO_DEPTH, f"--ckpt_pose={bare}", f"--output_dir={world / 'other'}"), mismatch),
    ):
        assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"error: {message}")
    assert not bad.exists()


def test_mistakes_end_in_one_line(world):
    absent = reproduce(world, f"--ckpt_depth={world / 'model-6'}", "--img_height=32")
    assert " --img_height=32" in absent.stdout
    assert "--img_width" not in absent.stdout
    for done, message in (
        (run("reproduce"), "expected --kitti_raw with --ckpt_depth, or --kitti_odom with --ckpt_pose; found neither"),
        (run("reproduce", "--kitti_raw=x"), "expected --kitti_raw with --ckpt_depth, found --kitti_raw alone"),
        (reproduce(world, "--kitti_odom="), "expected --kitti_odom with --ckpt_pose, found --ckpt_pose alone"),
        (absent, "model-6 not found"),
        (predict_pose(world, "run/model-5", "--test_seq=5"), "times.txt: expected a text file"),
    ):
        assert done.returncode == 1
        # TensorFlow may have written lines of its own before.
        last_line = done.stderr.splitlines()[-1]
        assert last_line.startswith("error: ")
        assert message in last_line
        assert "Traceback" not in done.stderr
