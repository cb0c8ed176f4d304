"""The training command as a user runs it; what goes wrong ends in one line and exit status 1."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import small_train
from forked import ForkedCommand, run_forked
from formatted_data import write_formatted_data
from sfmlearner_tf.config import GROUPS
from sfmlearner_tf.presets import PRESETS

SIZE = ("--img_height=32", "--img_width=64", "--batch_size=2")


def train(*flags: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sfmlearner_tf.train", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def dataset_dir(tmp_path):
    folder = tmp_path / "formatted"
    write_formatted_data(folder, count=2)
    return folder


def error_of(*flags: str, cwd: Path | None = None) -> str:
    """The one line that a failing command prints."""
    result = run_forked("-m", "sfmlearner_tf.train", *flags, cwd=cwd)
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
    assert process.wait() == 141


def start_small(*flags: str) -> ForkedCommand:
    """The command with a small depth network."""
    return ForkedCommand(small_train.__file__, *flags)


def test_the_release_s_networks_train(dataset_dir, tmp_path):
    """Also on the smallest images."""
    write_formatted_data(dataset_dir, count=1, width=32)
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={tmp_path / 'run'}", *SIZE, "--img_width=32")
    result = train(*flags, "--batch_size=1", "--num_scales=1", "--val_freq=0", "--max_steps=2")
    assert result.returncode == 0, result.stderr
    assert "DispNet: 31,596,900 parameters\nPoseExpNet: 1,590,668 parameters\n" in result.stdout
    assert "model.latest at step 1" in result.stdout
    # Without validation there is no best.
    assert f"\ndone: {tmp_path / 'run'}/model.latest\nevaluate: " in result.stdout
    assert f"--ckpt_file={tmp_path / 'run'}/model.latest --output_dir=exported" in result.stdout
    assert f"checkpoints and curves go to {tmp_path / 'run'} (tensorboard --logdir=" in result.stdout


def test_trains_stops_on_ctrl_c_and_goes_on(dataset_dir, tmp_path):
    write_formatted_data(dataset_dir, count=24)  # 12 steps an epoch, after which it saves
    run = tmp_path / "run"
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={run}", *SIZE, "--summary_freq=4", "--num_scales=1")
    process = start_small(*flags)
    for line in process.stdout:
        if line.startswith("Epoch: [ 1] [    4/   12]"):
            break
    # Nobody else may work there meanwhile.
    line = error_of(*flags, "--overwrite")
    assert line == f"error: {run}: another process works in this folder (process {process.pid}); wait for it to end"
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "continue_train with the same options continues from here" in rest
    assert (run / "model.latest.index").exists()
    saved = int(rest.split("model.latest at step ")[1].split()[0])
    process = start_small(*flags, "--continue_train", f"--max_steps={saved + 5}")
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"from step {saved}\n" in output
    epoch, in_epoch = divmod(4 * (saved // 4 + 1) - 1, 12)
    assert f"Epoch: [{epoch + 1:2d}] [{in_epoch + 1:5d}/   12] time: " in output
    assert f"model.latest at step {saved + 4}" in output
    # The last weights are validated, too.
    assert f"validation at step {saved + 4}: total " in output
    check_the_end(output, run)


def check_the_end(output: str, run: Path) -> None:
    """It says what to do with the weights, in commands that are accepted as they are."""
    done, *commands = output.splitlines()[-4:]
    assert done == f"done: {run}/model.latest; the best of the validations: {run}/model.best"
    for line, start in zip(commands, ("evaluate: python ", "predict:  python ", "export:   python ")):
        assert line.startswith(start)
        assert f"--ckpt_file={run}/model.best " in line
        words = re.sub("<[^>]+>", "anything", line).split()[2:]
        assert run_forked(*words, "--only_check_args").returncode == 0


def test_mistakes_in_flags(dataset_dir, tmp_path):
    # None of these waits for TensorFlow.
    assert error_of("--seq_length=4") == "error: --seq_length must be odd, got 4"
    assert error_of("--img_height=16") == "error: --img_height must be at least 32, got 16"
    assert error_of("--img_height=100000000") == "error: --img_height must be at most 8192, got 100000000"
    assert "Unknown command line flag 'batchsize'" in error_of("--batchsize=4")
    assert "--batch_size=four" in error_of("--batch_size=four")
    assert "unexpected argument 'formatted'" in error_of("formatted")
    assert "dataset_dir is required" in error_of()
    assert f"--preset=fast: value should be one of <{'|'.join(PRESETS)}>" in error_of("--preset=fast")


def test_a_missing_list_is_named(tmp_path):
    assert f"{tmp_path}/train.txt: expected a list of examples; No such file" in error_of(f"--dataset_dir={tmp_path}")


def test_damaged_examples_are_named(dataset_dir, tmp_path):
    write_formatted_data(dataset_dir, count=8)
    drive, run = dataset_dir / "drive", tmp_path / "run"
    strip = drive / "0000000001.jpg"
    strip.write_bytes(strip.read_bytes()[: strip.stat().st_size // 2])
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={run}", *SIZE, "--batch_size=8")
    line = error_of(*flags)
    assert line.startswith(f"error: {strip} is damaged: expected a whole JPEG image, found ")
    assert [path.name for path in run.iterdir() if "tfevents" not in path.name] == ["notes.txt", "config.json"]
    # All of them, where they are skipped.
    (drive / "0000000002.jpg").unlink()
    (drive / "0000000003_cam.txt").write_text("1,2,3")
    (drive / "0000000004_cam.txt").write_text("nan,0,1,0,5,6,0,0,1")
    line = error_of(*flags, "--on_bad_example=skip", "--max_bad_fraction=0.4")
    assert line.startswith("error: 4 of 8 examples are damaged, more than max_bad_fraction=0.4; bad_examples.txt lists")
    listed = (run / "bad_examples.txt").read_text()
    for text in (
        f"drive 0000000001: {strip} is damaged: expected a whole JPEG image, found ",
        f"drive 0000000002: {drive}/0000000002.jpg not found, though a list of examples names it\n",
        f"drive 0000000003: {drive}/0000000003_cam.txt: expected nine comma-separated numbers, found '1,2,3'\n",
        f"drive 0000000004: {drive}/0000000004_cam.txt: expected finite numbers",
    ):
        assert text in listed
    assert len(listed.splitlines()) == 4
    assert (run / "notes.txt").read_text() == "mine"
    assert not list(run.glob("model*"))


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


def test_a_missing_checkpoint_is_named(dataset_dir, tmp_path):
    flags = (f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={tmp_path / 'run'}", *SIZE)
    assert f"no checkpoint in {tmp_path / 'run'}" in error_of(*flags, "--continue_train")
    assert not (tmp_path / "run").exists()
