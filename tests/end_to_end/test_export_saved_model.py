"""The command that exports a checkpoint, on a pose network alone: it is small, and so are its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet

TOOL = Path(__file__).parents[2] / "tools" / "export_saved_model.py"
SIZE = ("--img_height=32", "--img_width=64")


@pytest.fixture(scope="module")
def ckpt_file(tmp_path_factory):
    network = PoseExpNet(num_sources=2)
    network(tf.zeros([1, 32, 64, 3]), tf.zeros([1, 32, 64, 6]))
    return CheckpointFolder(str(tmp_path_factory.mktemp("checkpoints")), network.release_variables()).save_step(7)


def run(*options):
    command = [sys.executable, str(TOOL), *SIZE, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_writes_and_verifies_what_the_checkpoint_has(ckpt_file, tmp_path):
    out, picture = tmp_path / "out", tmp_path / "picture.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 80), np.uint8)).save(picture)
    done = run(
        f"--ckpt_file={ckpt_file}",
        f"--output_dir={out}",
        "--format=saved_model,tflite",
        "--precision=float32,float16",
        f"--verify_image={picture}",
    )
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == f"{ckpt_file} has no depth network: exported pose of 3 frames at 32x64"
    files = ["saved_model.pb", "pose_float32.tflite", "pose_float16.tflite"]
    assert [line.split(", pose: largest relative difference ")[0] for line in lines] == [f"{out}/{f}" for f in files]
    assert all((out / file).stat().st_size > 10_000 for file in files)
    assert set(tf.saved_model.load(str(out)).signatures) == {"serving_default", "pose"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "picture.png"]


def test_mistakes_are_told_in_one_line(ckpt_file, tmp_path):
    (tmp_path / "notes.txt").write_text("")
    new = tmp_path / "new"
    for options, message in (
        ((f"--ckpt_file={ckpt_file}", f"--output_dir={new}", "--seq_length=4"), "--seq_length=4: expected an odd"),
        ((f"--ckpt_file={ckpt_file}", f"--output_dir={new}", "--img_width=31"), "--img_width=31"),
        (
            (f"--ckpt_file={ckpt_file}", f"--output_dir={new}", "--format=tflit"),
            "--format: expected any of saved_model",
        ),
        ((f"--ckpt_file={ckpt_file}", f"--output_dir={tmp_path}"), "holds notes.txt: expected a new folder"),
        ((f"--ckpt_file={tmp_path}/model-3", f"--output_dir={new}"), "model-3 not found"),
    ):
        done = run(*options)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert message in done.stderr.splitlines()[-1]
        assert done.stdout == ""
    assert not new.exists()
