"""Two workers on this machine train together, each a process as on machines of their own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import small_train
from forked import ForkedCommand
from formatted_data import write_formatted_data
from sfmlearner_tf.checkpoint import GLOBAL_STEP, read_scalar
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.resuming import DATA_POSITION

OPTIONS = {
    "batch_size": 4,
    "img_height": 32,
    "img_width": 32,
    "num_scales": 1,
    "val_freq": 0,
    "save_latest_freq": 5,
    "summary_freq": 5,
    "max_steps": 100000,
}


class Worker:
    """A running worker. Its output is read all the time: workers that wait for each other may not wait for a full
    pipe."""

    def __init__(self, cluster: list[str], index: int, *flags: str) -> None:
        task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        self.process = ForkedCommand(small_train.__file__, "--distribute=multi_worker", *flags, environment=environment)
        self._reading = ThreadPoolExecutor(1).submit(self.process.communicate)

    def end(self) -> tuple[int, str]:
        """The exit status and what was printed."""
        output, errors = self._reading.result()
        return self.process.returncode, output + errors


@pytest.fixture
def dataset_dir(tmp_path):
    write_formatted_data(tmp_path / "formatted", count=8, height=32, width=32)
    return tmp_path / "formatted"


@pytest.fixture
def start(dataset_dir, tmp_path):
    """Starts workers; ends what a failed test leaves running."""
    running: list[Worker] = []

    def start_all(*flags: str, count: int = 2) -> list[Worker]:
        listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        cluster = [f"127.0.0.1:{one.getsockname()[1]}" for one in listening]
        for one in listening:
            one.close()
        options = {"dataset_dir": dataset_dir, "checkpoint_dir": tmp_path / "run", **OPTIONS}
        flags = (*(f"--{name}={value}" for name, value in options.items()), *flags)
        running[:] = [Worker(cluster, index, *flags) for index in range(count)]
        return running

    yield start_all
    for worker in running:
        worker.process.kill()
        worker.process.wait()


def saved(run: Path, name: str) -> int:
    return int(read_scalar(str(run / "model.latest"), name, -1))


def wait_for_step(worker: Worker, run: Path, least: int) -> None:
    while worker.process.poll() is None:
        # One of the two files may just take the place of an older one.
        with contextlib.suppress(UserError):
            if saved(run, GLOBAL_STEP) >= least:
                return
    pytest.fail(worker.end()[1])


def test_workers_stop_together_survive_each_other_and_go_on_alone(start, dataset_dir, tmp_path):
    run, damaged = tmp_path / "run", dataset_dir / "drive" / "0000000003.jpg"
    content = damaged.read_bytes()
    chief, other = start()
    wait_for_step(chief, run, 5)
    damaged.write_bytes(b"damaged")
    (status, text), (other_status, other_text) = chief.end(), other.end()
    assert (status, other_status) == (1, 1)
    stopped_at = saved(run, GLOBAL_STEP)
    assert f"saved {run}/model.latest at step {stopped_at}, from where continue_train goes on" in text
    both = text + other_text
    assert both.count("0000000003.jpg is damaged: expected a whole JPEG image") == 1
    assert both.count("error: another worker was stopped, or failed: its own output says why") == 1
    assert "Epoch: [" not in other_text
    assert saved(run, DATA_POSITION) == 4 * stopped_at

    damaged.write_bytes(content)
    again = ("--continue_train", "--accept_changes", "--learning_rate=0.0001")
    chief, other = start(*again)
    wait_for_step(chief, run, stopped_at + 5)
    other.process.kill()
    status, text = chief.end()
    assert status == 1
    assert "with changes:" in text
    assert "with changes:" not in other.end()[1]
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: another worker has ended or cannot be reached (")
    assert "Traceback" not in text
    killed_at = saved(run, GLOBAL_STEP)
    assert killed_at > stopped_at

    (alone,) = start(*again, f"--max_steps={killed_at + 3}", count=1)
    status, text = alone.end()
    assert status == 0, text
    assert saved(run, GLOBAL_STEP) == killed_at + 2
    assert saved(run, DATA_POSITION) == 4 * (killed_at + 2)
