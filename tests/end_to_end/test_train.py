"""The training command as a user runs it; what goes wrong ends in one line and exit status 1."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from formatted_data import write_formatted_data
from sfmlearner_tf.config import GROUPS

SIZE = ("--img_height=32", "--img_width=64", "--batch_size=2")


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "sfmlearner_tf.train", *flags]


def train(*flags: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(command(*flags), capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def dataset_dir(tmp_path):
    folder = tmp_path / "formatted"
    write_formatted_data(folder, count=2)
    return folder


def error_of(*flags: str, cwd: Path | None = None) -> str:
    """The one line that a failing command prints."""
    result = train(*flags, cwd=cwd)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_help_lists_every_flag_of_the_release(tmp_path):
    result = train("--help", cwd=tmp_path)
    assert result.returncode == 0
    flags = "dataset_dir checkpoint_dir init_checkpoint_file learning_rate beta1 smooth_weight explain_reg_weight"
    flags += " batch_size img_height img_width seq_length max_steps summary_freq save_latest_freq"
    flags += " seed num_scales max_to_keep"
    for flag in flags.split():
        assert f"--{flag}: " in result.stdout
    assert "--[no]continue_train: " in result.stdout
    assert "--[no]jit_compile: " in result.stdout
    # The release's options come first, and an option says its choices.
    titles = re.findall(r"^([A-Z].*):$", result.stdout, re.MULTILINE)
    assert titles == list(GROUPS.values())
    release, _, rest = result.stdout.partition("\nNetworks:\n")
    assert "--save_latest_freq" in release
    assert "--seed" in rest
    assert "--sampler: <native|addons>: " in rest


@pytest.mark.parametrize(
    "arguments", [["-m", "sfmlearner_tf.train"], ["kitti_eval/eval_depth.py"]], ids=["train", "eval"]
)
def test_help_may_be_left_unread(arguments):
    process = subprocess.Popen(
        [sys.executable, *arguments, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_trains_stops_on_ctrl_c_and_goes_on(dataset_dir, tmp_path):
    write_formatted_data(dataset_dir, count=24)  # 12 steps an epoch, after which it saves
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={tmp_path / 'run'}", *SIZE, "--summary_freq=4")
    process = subprocess.Popen(command(*flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("Epoch: [ 1] [    4/   12]"):
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "continue_train with the same options continues from here" in rest
    assert (tmp_path / "run" / "model.latest.index").exists()
    saved = int(rest.split("model.latest at step ")[1].split()[0])
    result = train(*flags, "--continue_train", f"--max_steps={saved + 5}")
    assert result.returncode == 0, result.stderr
    assert f"from step {saved}\n" in result.stdout
    epoch, in_epoch = divmod(4 * (saved // 4 + 1) - 1, 12)
    assert f"Epoch: [{epoch + 1:2d}] [{in_epoch + 1:5d}/   12] time: " in result.stdout
    assert f"model.latest at step {saved + 4}" in result.stdout
    # The last weights are validated, too.
    assert f"validation at step {saved + 4}: total " in result.stdout


def test_mistakes_in_flags(dataset_dir, tmp_path):
    # None of these waits for TensorFlow.
    assert error_of("--seq_length=4") == "error: --seq_length must be odd, got 4"
    assert error_of("--img_height=16") == "error: --img_height must be at least 32, got 16"
    assert "Unknown command line flag 'batchsize'" in error_of("--batchsize=4")
    assert "--batch_size=four" in error_of("--batch_size=four")
    assert "unexpected argument 'formatted'" in error_of("formatted")
    assert "dataset_dir is required" in error_of()
    assert "--preset=fast: value should be one of <release|recommended>" in error_of("--preset=fast")


def test_missing_and_empty_lists_are_named(dataset_dir, tmp_path):
    assert f"{tmp_path}/train.txt: expected a list of examples, found: No such file" in error_of(
        f"--dataset_dir={tmp_path}"
    )
    (dataset_dir / "train.txt").write_text("")
    assert f"{dataset_dir}/train.txt: expected a line" in error_of(f"--dataset_dir={dataset_dir}")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("0000000000.jpg", None, "0000000000.jpg not found, though a list of examples names it"),
        ("0000000000.jpg", "half", "0000000000.jpg is damaged: expected a whole JPEG image"),
        ("0000000000_cam.txt", b"1,2,3", "0000000000_cam.txt: expected nine comma-separated numbers, found '1,2,3'"),
        ("0000000000_cam.txt", b"nan,0,1,0,5,6,0,0,1", "0000000000_cam.txt: expected finite numbers"),
    ],
    ids=["missing image", "truncated image", "malformed camera", "camera not finite"],
)
def test_damaged_examples_are_named(dataset_dir, tmp_path, file, content, message):
    path = dataset_dir / "drive" / file
    if content is None:
        path.unlink()
    elif content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(content)
    checkpoint_dir = tmp_path / "run"
    checkpoint_dir.mkdir()
    (checkpoint_dir / "notes.txt").write_text("mine")
    line = error_of(f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={checkpoint_dir}", *SIZE)
    assert message in line
    assert (checkpoint_dir / "notes.txt").read_text() == "mine"
    assert not list(checkpoint_dir.glob("model*"))


def test_an_earlier_run_is_not_written_over(dataset_dir, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.latest.index").write_text("an earlier one")
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={run}", *SIZE)
    assert "holds an earlier run (model.latest.index): expected another folder" in error_of(*flags)
    assert [path.name for path in run.iterdir()] == ["model.latest.index"]


def test_strips_of_another_width_are_named(dataset_dir, tmp_path):
    line = error_of(f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={tmp_path}", "--img_height=32", "--img_width=96")
    assert "expected a strip of 3 frames of 96x32, 288x32 pixels, found 192x32" in line


def test_checkpoints_that_cannot_be_used_are_named(dataset_dir, tmp_path):
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={tmp_path / 'run'}", *SIZE)
    assert f"no checkpoint in {tmp_path / 'run'}" in error_of(*flags, "--continue_train")
    assert "model-7 not found" in error_of(*flags, f"--init_checkpoint_file={tmp_path / 'model-7'}")
    assert not os.path.exists(tmp_path / "run")
