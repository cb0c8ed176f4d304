import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kitti_eval.workers import map_ahead, ordered_map
from sfmlearner_tf.errors import UserError


@pytest.mark.parametrize("num_processes", [1, 2])
def test_results_come_in_the_order_of_the_items(num_processes):
    items = [float(number) for number in range(30)]
    assert list(ordered_map(math.sqrt, iter(items), num_processes)) == [(item, math.sqrt(item)) for item in items]


def test_only_a_few_items_are_taken_ahead():
    taken = []
    results = ordered_map(math.sqrt, (taken.append(item) or item for item in range(1000)), 2)
    next(results)
    results.close()
    assert len(taken) <= 6


def test_a_worker_that_dies_ends_in_one_line():
    with pytest.raises(UserError, match="a worker process was killed"):
        list(ordered_map(os._exit, [1, 1, 1], 2))


def test_threads_keep_the_order_and_work_a_little_ahead():
    taken = []
    results = map_ahead(math.sqrt, (taken.append(item) or float(item) for item in range(100)), ahead=3)
    assert [next(results) for _ in range(10)] == [math.sqrt(item) for item in range(10)]
    assert len(taken) <= 13
    assert len(list(results)) == 90


def test_ctrl_c_while_workers_start_ends_in_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import math, os\nfrom kitti_eval import command\nfrom kitti_eval.workers import ordered_map\n"
        "def main():\n"
        "    results = ordered_map(math.sqrt, range(10**9), 2)\n"
        "    print('started', flush=True)\n"
        "    for _ in results:\n        pass\n"
        "if __name__ == '__main__':\n    command.run(main)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    ) as process:
        process.stdout.readline()
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr.read() == b"stopped by Ctrl-C\n"
    assert process.returncode == 130
