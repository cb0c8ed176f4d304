"""The command that exports a checkpoint, on a pose network alone: it is small, and so are its files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from forked import ASKS_FOR_MEMORY_FIRST, run_forked
from sfmlearner_tf import TrainConfig, export_tflite, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet

TOOL = Path(__file__).parents[2] / "tools" / "export_saved_model.py"
SIZE = ("--img_height=32", "--img_width=64")


@pytest.fixture(scope="module")
def ckpt_file(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints"))


def write_checkpoint(folder):
    network = PoseExpNet(num_sources=2, predict_masks=True)
    return CheckpointFolder(str(folder), network.release_variables()).save_step(7)


def save_pictures(folder, count):
    folder.mkdir()
    for seed in range(count):
        pixels = np.random.RandomState(seed).randint(0, 256, (4, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((80, 40)).save(folder / f"{seed}.png")
    return folder


def run(*options, how=(str(TOOL),)):
    return run_forked(*how, *map(str, options))


def test_writes_and_verifies_what_the_checkpoint_has(ckpt_file, tmp_path):
    out, pictures = tmp_path / "out", save_pictures(tmp_path / "pictures", 5)
    done = run(
        f"--ckpt_file={ckpt_file}",
        f"--output_dir={out}",
        "--format=saved_model,tflite",
        "--precision=float32,float16,int8",
        f"--calibration_images={pictures}",
        "--verify",
        *SIZE,
        how=("-c", ASKS_FOR_MEMORY_FIRST.format(tool="export_saved_model")),
    )
    assert done.returncode == 0, done.stderr
    asked, first, *lines = done.stdout.splitlines()
    assert asked == "asked for"
    assert first == f"{ckpt_file} has no depth network: exported pose of 3 frames at 32x64"
    files = ["saved_model.pb", "pose_float32.tflite", "pose_float16.tflite", "pose_int8.tflite"]
    for file, line in zip(files, lines):
        which = "median" if "int8" in file else "largest"
        number = r"[\d.e+-]+"
        cost = f"{number} ms per call, {number} MB"
        assert re.fullmatch(f"{re.escape(str(out / file))}, pose: {which} relative difference {number}, {cost}", line)
    assert len(lines) == len(files)
    assert all((out / file).stat().st_size > 10_000 for file in files)
    saved = tf.saved_model.load(str(out))
    assert set(saved.signatures) == {"serving_default", "pose"}
    # The mask decoder of the checkpoint is left out.
    assert len(saved.variables_by_name) == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pictures"]


def test_images_have_the_size_of_the_training(tmp_path):
    ckpt_file, out = write_checkpoint(tmp_path / "run"), tmp_path / "out"
    run_config.write(TrainConfig(img_height=64, img_width=96), str(tmp_path / "run"))
    done = run(f"--ckpt_file={ckpt_file}", f"--output_dir={out}", "--format=tflite")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{ckpt_file} has no depth network: exported pose of 3 frames at 64x96\n")
    function = export_tflite.load_tflite(str(out / "pose_float32.tflite"))
    assert list(function.get_input_details()["sources"]["shape"][1:]) == [64, 96, 6]


def test_mistakes_are_told_in_one_line(ckpt_file, tmp_path):
    other, new = tmp_path / "other", tmp_path / "new"
    other.mkdir()
    (other / "notes.txt").write_text("")
    two, damaged = (save_pictures(tmp_path / name, count) for name, count in (("two", 2), ("damaged", 4)))
    (damaged / "2.png").write_bytes((damaged / "2.png").read_bytes()[:100])
    int8 = (f"--output_dir={new}", "--format=tflite", "--precision=int8")
    for options, message in (
        ((f"--output_dir={new}", "--seq_length=4"), "--seq_length=4: expected an odd"),
        ((f"--output_dir={new}", "--img_width=31"), "--img_width=31"),
        ((f"--output_dir={new}", "--img_height=100000000"), "--img_height=100000000"),
        ((f"--output_dir={new}", "--format=tflit"), "--format: expected any of saved_model"),
        ((f"--output_dir={other}",), "holds notes.txt: expected a new folder"),
        (int8, "error: --precision=int8: expected --calibration_images, pictures of what the network will see"),
        ((*int8, f"--calibration_images={other}"), f"--calibration_images={other}: expected images"),
        (
            (*int8, f"--calibration_images={two}"),
            "--calibration_images: expected at least 3 pictures in a row, found 2",
        ),
        ((*int8, f"--calibration_images={damaged}"), f"--calibration_images: {damaged}/2.png: expected an image"),
    ):
        done = run_forked(str(TOOL), f"--ckpt_file={ckpt_file}", *options)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert message in done.stderr.splitlines()[-1]
        assert done.stdout == ""
    assert not new.exists()
