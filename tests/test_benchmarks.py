"""What the benchmarks do with wrong flags, and when they are stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from forked import ForkedCommand, run_forked
from waiting import wait_for_file

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("name", "flag", "message"),
    [
        ("learning", "--seeds=1,a", "--seeds: expected whole numbers from 0 on, found '1,a'"),
        ("supervised", "--seeds=1.5", "--seeds: expected whole numbers from 0 on, found '1.5'"),
        ("render", "--processes=2,0", "--processes: expected whole numbers from 1 on, found '2,0'"),
        ("train_on_real", "--seeds=a", "--seeds: expected whole numbers from 0 on, found 'a'"),
        ("train_on_real", "--steps=0,5", "--steps: expected whole numbers from 1 on, found '0,5'"),
        ("train_on_real", "--steps=5", "--steps: expected two numbers, such as 4000,2000, found 5"),
        ("train_on_real", "--stages=first", "--stages: expected any of generated, both, real, found first"),
        ("train_on_real", "--variants=best", "--variants: expected presets (release, "),
        ("train_on_real", "--data_dir=none", "--data_dir=none: expected the recordings, found no real_video/"),
        ("learning", "--variants=release+random_flip=yes", "expected true or false in 'random_flip=yes'"),
        ("learning", "--variants=release+batch_size=many", "expected a whole number in 'batch_size=many'"),
        ("learning", "--variants=release+ssim_weight=", "expected a number in 'ssim_weight='"),
    ],
)
def test_wrong_flags_are_named_in_one_line(tmp_path, name, flag, message):
    folders = [f"--{folder}_dir={tmp_path / folder}" for folder in ("output", "results")] if name != "render" else []
    done = run_forked(str(BENCHMARKS / f"{name}.py"), flag, *folders)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


ENDURANCE = """
import sys
sys.path.insert(0, {folder!r})
import endurance
from kitti_eval import command

endurance._train = lambda folder: [sys.executable, "-c", {training!r}]
sys.argv += ["--dataset_dir=none"]
command.run(endurance.main)
"""
TRAINING = """
import signal, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: (Path("saved").touch(), exit(143)))
Path("started").touch()
time.sleep(60)
"""


def test_endurance_that_is_stopped_stops_its_training(tmp_path):
    process = ForkedCommand("-c", ENDURANCE.format(folder=str(BENCHMARKS), training=TRAINING), cwd=tmp_path)
    wait_for_file(process, tmp_path, "started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert (tmp_path / "saved").exists()
