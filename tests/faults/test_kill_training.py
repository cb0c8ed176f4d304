"""Training that is killed and goes on ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.trainer import Trainer

OPTIONS = {
    "batch_size": 2,
    "img_height": 32,
    "img_width": 64,
    "num_scales": 1,
    "save_latest_freq": 5,
    "max_steps": 18,
    "val_freq": 0,
    "seed": 3,
}


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formatted")
    write_formatted_data(folder, count=40)
    return folder


def trainer(dataset_dir, run, **options) -> Trainer:
    return Trainer(TrainConfig(dataset_dir=str(dataset_dir), checkpoint_dir=str(run), **{**OPTIONS, **options}))


def start(dataset_dir, run, *more: str) -> subprocess.Popen:
    flags = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = [sys.executable, "-m", "sfmlearner_tf.train", f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={run}"]
    return subprocess.Popen([*command, *flags, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(process: subprocess.Popen, run: Path, pattern: str, present: bool = True) -> None:
    """Returns as soon as such a file is there, or is not."""
    while any(run.glob(pattern)) != present:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)


def test_killed_training_ends_as_the_undisturbed(dataset_dir, tmp_path):
    run = tmp_path / "killed"
    # First amid a save, with one before it. --deterministic changes no bits of what is deterministic anyway.
    process = start(dataset_dir, run, "--deterministic")
    wait_for(process, run, "model.latest.index")
    wait_for(process, run, ".writing-*", present=False)
    wait_for(process, run, ".writing-*")
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    process.communicate()
    # Then at any moment after a save.
    process = start(dataset_dir, run, "--continue_train")
    wait_for(process, run, ".writing-*", present=False)
    wait_for(process, run, ".writing-*")
    wait_for(process, run, ".writing-*", present=False)
    time.sleep(random.uniform(0, 1))
    process.kill()
    process.communicate()

    resumed = trainer(dataset_dir, run, continue_train=True)
    assert resumed.step in (5, 10, 15, 17)
    assert not list(run.glob(".writing-*"))
    resumed.run()
    undisturbed = trainer(dataset_dir, tmp_path / "undisturbed")
    undisturbed.run()
    for name, variable in undisturbed.checkpoints.variables.items():
        np.testing.assert_array_equal(resumed.checkpoints.variables[name], variable, err_msg=name)
