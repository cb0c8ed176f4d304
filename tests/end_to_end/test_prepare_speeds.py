"""Distances in the data: from KITTI's GPS/IMU and from a table of speeds, to training and prediction in metres."""

from __future__ import annotations

import numpy as np
import pytest

from forked import run_forked
from kitti_tree import write_images
from prepare_command import prepare
from sfmlearner_tf.data.formatted import read_split

RENDER = ("--num_train_scenes=1", "--num_test_scenes=1", "--frames_per_scene=6", "--img_height=32", "--img_width=64")


def distances(folder, example):
    return np.loadtxt(example.further_path(str(folder), "distances"), delimiter=",")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    made = run_forked("tools/make_synthetic_kitti.py", f"--output_dir={folder}", *RENDER)
    assert made.returncode == 0, made.stderr
    return folder


def test_gps_gives_the_distances_of_the_true_poses(world, tmp_path):
    result = prepare(world / "kitti_raw", tmp_path, "--speeds=oxts", dataset_name="kitti_raw_eigen")
    assert result.returncode == 0, result.stderr
    poses = np.loadtxt(world / "kitti_odometry" / "poses" / "00.txt").reshape(-1, 3, 4)
    steps = np.linalg.norm(np.diff(poses[:, :, 3], axis=0), axis=1)
    assert steps.min() > 0.1
    examples = read_split(str(tmp_path), "train")
    assert {example.folder[-2:] for example in examples} == {"02", "03"}
    for example in examples:
        number = int(example.frame)
        np.testing.assert_allclose(distances(tmp_path, example), steps[number - 1 : number + 1], rtol=0.02)


def test_a_frame_without_a_recording_parts_its_neighbours(world, tmp_path):
    raw = tmp_path / "raw"
    (raw / "2011_09_26").parent.mkdir()
    for path in (world / "kitti_raw").rglob("*"):
        if path.is_file():
            copy = raw / path.relative_to(world / "kitti_raw")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    (lost,) = (raw / "2011_09_26").glob("*_drive_1001_sync/oxts/data/0000000004.txt")
    lost.unlink()
    result = prepare(raw, tmp_path / "out", "--speeds=oxts", dataset_name="kitti_raw_eigen")
    assert result.returncode == 0, result.stderr
    assert "frames without a known position: 2" in result.stdout  # of two cameras
    assert "frames in too short sequences: 2" in result.stdout
    assert "4 examples" in result.stdout


def test_a_table_of_speeds_for_images(tmp_path):
    """Ten frames a second at a speed that rises from 2 to 4 m/s within 0.4 seconds, then stays."""
    write_images(tmp_path / "walk", range(8), digits=1)
    (tmp_path / "speeds.csv").write_text("time_s,speed_m_s\n0,2\n0.4,4\n2,4\n")
    options = ("--intrinsics=72,71,60,17", f"--speeds={tmp_path}/speeds.csv", "--frames_per_second=10")
    result = prepare(tmp_path / "walk", tmp_path / "out", *options, dataset_name="images")
    assert result.returncode == 0, result.stderr
    examples = [
        example
        for name in ("train", "val")
        if (tmp_path / "out" / f"{name}.txt").read_text()
        for example in read_split(str(tmp_path / "out"), name)
    ]
    found = {int(example.frame): distances(tmp_path / "out", example) for example in examples}
    np.testing.assert_allclose(found[1], [0.225, 0.275])
    np.testing.assert_allclose(found[6], [0.4, 0.4])
    (tmp_path / "speeds.csv").write_text("time_s,speed_m_s\n0,3\n2,3\n")
    again = prepare(tmp_path / "walk", tmp_path / "out", *options, dataset_name="images")
    assert again.returncode == 1
    assert "speeds: expected 'sha256" in again.stderr


@pytest.mark.parametrize(
    ("name", "flags", "named"),
    [
        (
            "images",
            ["--speeds=oxts", "--intrinsics=72,71,60,17"],
            "--speeds: expected a CSV file with images, found oxts",
        ),
        ("kitti_raw", ["--speeds=a.csv"], "--speeds: expected oxts with kitti_raw, found a.csv"),
        ("kitti_odom", ["--speeds=oxts"], "--speeds: expected KITTI raw, video or images, found kitti_odom"),
        ("images", ["--speeds=a.csv", "--intrinsics=72,71,60,17"], "--frames_per_second: expected it with --speeds"),
        ("images", ["--frames_per_second=9", "--intrinsics=72,71,60,17"], "--frames_per_second: expected it with"),
    ],
)
def test_wrong_flags_are_named(tmp_path, name, flags, named):
    write_images(tmp_path / "walk", range(4), digits=1)
    result = prepare(tmp_path / "walk", tmp_path / "out", *flags, dataset_name=name)
    assert (result.returncode, len(result.stderr.strip().splitlines())) == (1, 1)
    assert named in result.stderr


def test_training_and_prediction_in_metres(world, tmp_path):
    """Validation also measures depth as it is, and predict says that it is metres."""
    raw = world / "kitti_raw"
    assert prepare(raw, tmp_path / "data", "--speeds=oxts", dataset_name="kitti_raw_eigen").returncode == 0
    train = run_forked(
        "tests/small_train.py", f"--dataset_dir={tmp_path}/data", f"--checkpoint_dir={tmp_path}/run",
        "--img_height=32", "--img_width=48", "--num_scales=1", "--batch_size=2", "--max_steps=3", "--speed_weight=0.05",
        f"--val_kitti_dir={raw}", f"--val_files={raw}/test_files.txt",
    )  # fmt: skip
    assert train.returncode == 0, train.stderr
    header, values = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    row = dict(zip(header.split(","), map(float, values.split(","))))
    assert row["speed"] > 0
    assert row["abs_rel_unscaled"] != row["abs_rel"]
