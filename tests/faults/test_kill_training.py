"""Training by the command under kill -9, SIGTERM, a full disk and too little memory: what was saved stays, and the same
command goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import random
import resource
import signal
import time
from functools import partial

import numpy as np
import pytest

import small_train
from forked import ForkedCommand
from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.trainer import Trainer
from waiting import wait_for_file

OPTIONS = {
    "batch_size": 2,
    "img_height": 32,
    "img_width": 32,
    "num_scales": 1,
    "save_latest_freq": 5,
    "max_steps": 61,
    "val_freq": 0,
    "seed": 3,
}
# The command with a network that asks for more memory than there is.
GREEDY = """
import tensorflow as tf
import small_network, small_train

class GreedyNet(small_network.SmallNet):
    def call(self, images, training=None):
        hoard = tf.reduce_sum(tf.random.normal([tf.cast(tf.shape(images)[1], tf.int64) * 10**15]))
        return tuple(disparity + hoard for disparity in super().call(images, training))

small_network.SmallNet = GreedyNet
small_train.main()
"""


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formatted")
    write_formatted_data(folder, count=40, height=32, width=32)
    return folder


def trainer(dataset_dir, run, **options) -> Trainer:
    return Trainer(TrainConfig(dataset_dir=str(dataset_dir), checkpoint_dir=str(run), **{**OPTIONS, **options}))


@pytest.fixture(scope="module")
def undisturbed(dataset_dir, tmp_path_factory):
    """What a run from start to end leaves: all that a checkpoint holds, by name."""
    with pytest.MonkeyPatch.context() as patched:
        small_train.use_small_network(patched)
        whole = trainer(dataset_dir, tmp_path_factory.mktemp("undisturbed"))
        whole.run()
    return {name: variable.numpy() for name, variable in whole.checkpoints.variables.items()}


def finish(dataset_dir, run, undisturbed):
    resumed = trainer(dataset_dir, run, continue_train=True)
    resumed.run()
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(resumed.checkpoints.variables[name], value, err_msg=name)


def start(dataset_dir, run, *more: str, program=(small_train.__file__,), before=None) -> ForkedCommand:
    flags = [f"--{name}={value}" for name, value in OPTIONS.items()]
    return ForkedCommand(
        *program, f"--dataset_dir={dataset_dir}", f"--checkpoint_dir={run}", *flags, *more, before=before
    )


def error_of(process: ForkedCommand) -> str:
    """The one line of a command that fails."""
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.usefixtures("small_depth_network")
def test_killed_training_ends_as_the_undisturbed(dataset_dir, tmp_path, undisturbed):
    # Amid a save, with one before it. --deterministic changes no bits of what is deterministic anyway.
    process = start(dataset_dir, tmp_path, "--deterministic")
    wait_for_file(process, tmp_path, "model.latest.index")
    wait_for_file(process, tmp_path, ".writing-*")
    process.kill()
    process.communicate()
    # Then at any moment, and so that it can save.
    process = start(dataset_dir, tmp_path, "--continue_train")
    while " from step " not in (process.stdout.readline() or " from step "):
        pass
    time.sleep(random.uniform(0, 2))
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    # It may be over already: all done, or Python shuts down, where no handler runs.
    assert process.returncode in (143, 0, -signal.SIGTERM), errors
    assert "saved " in output
    assert not list(tmp_path.glob(".writing-*"))
    finish(dataset_dir, tmp_path, undisturbed)


@pytest.mark.usefixtures("small_depth_network")
def test_a_full_disk_ends_training_and_spoils_nothing(dataset_dir, tmp_path):
    assert list(trainer(dataset_dir, tmp_path, max_steps=1).steps()) == []  # saves at once
    before = {path.name: path.read_bytes() for path in tmp_path.glob("model*")}
    limit_files = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))
    error = error_of(start(dataset_dir, tmp_path, "--continue_train", before=limit_files))
    assert error.startswith(f"error: cannot save {tmp_path}/model.latest: ")
    assert error.endswith("File too large; earlier ones are kept")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("model*")} == before
    assert trainer(dataset_dir, tmp_path, continue_train=True).step == 0


def test_too_little_memory_ends_in_one_line(dataset_dir, tmp_path):
    process = start(dataset_dir, tmp_path, program=("-c", GREEDY))
    assert error_of(process) == "error: out of memory: a smaller batch_size or smaller images need less"
    assert not list(tmp_path.glob("model*"))
