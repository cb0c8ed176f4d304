import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kitti_eval.errors import UserError
from kitti_eval.steps import Steps, fingerprint


@pytest.fixture
def count(tmp_path):
    """A step that adds a line to runs/count.txt from source.txt and data/; returns how to run it and the lines."""
    runs, source, data = tmp_path / "runs" / "count.txt", tmp_path / "source.txt", tmp_path / "data"
    for folder in (runs.parent, data):
        folder.mkdir()
    source.write_text("ab")
    (data / "0.bin").write_text("scan")

    def run(extra: str = "", status: int = 0, version: str = "1") -> int:
        code = f"open({str(runs)!r}, 'a').write('x'); {extra or 0}; raise SystemExit({status})"
        Steps(tmp_path, version).run("count up", [sys.executable, "-c", code], [source, data], [runs.parent])
        return len(runs.read_text())

    return run


def test_a_step_runs_once(count, tmp_path, capfd):
    assert [count(), count(), count()] == [1, 1, 1]
    assert capfd.readouterr().out.count("count up: already done") == 2
    assert (tmp_path / "steps" / "count_up.json").is_file()


def test_it_runs_again_when_anything_that_decides_its_results_changed(count, tmp_path):
    source, scan, record = tmp_path / "source.txt", tmp_path / "data" / "0.bin", tmp_path / "steps" / "count_up.json"
    changes = [
        lambda: source.write_text("abc"),
        lambda: (source.write_text("bac"), os.utime(source, ns=(0, 5))),  # of equal length
        lambda: scan.rename(tmp_path / "hidden.bin"),
        lambda: (tmp_path / "hidden.bin").rename(scan),
        lambda: (tmp_path / "data" / "1.bin").write_text(""),
        source.unlink,
        lambda: record.write_text("[" * 100_000),
        record.unlink,
    ]
    assert count() == 1
    for runs, change in enumerate(changes, start=2):
        change()
        assert [count(), count()] == [runs, runs]
    assert count("1 + 1") == runs + 1
    assert count("1 + 1", version="2") == runs + 2


def test_it_runs_again_when_its_results_were_changed_or_removed(count, tmp_path):
    result = tmp_path / "runs" / "count.txt"
    count()
    result.write_text("another program's")
    assert count() == len("another program's") + 1
    result.unlink()
    assert count() == 1


def test_a_failure_ends_the_run_and_what_it_left_counts_as_nothing(count):
    count()
    with pytest.raises(SystemExit) as stopped:
        count(status=3)
    assert stopped.value.code == 3
    # With the arguments of the first run, whose results the second one has written over.
    assert count() == 3


def test_a_killed_command_is_named(count):
    with pytest.raises(UserError, match=r"count up: its command was ended by signal 9 \(Killed\)"):
        count("import os; os.kill(os.getpid(), 9)")


def test_other_files_in_the_folders_of_results_stay(count, tmp_path):
    notes = tmp_path / "runs" / "notes.md"
    notes.write_text("mine")
    assert [count(), count()] == [1, 1]
    assert notes.read_text() == "mine"


def test_files_swapped_are_files_changed(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
        os.utime(path, ns=(1, 1))
    assert fingerprint(paths) != fingerprint(paths[::-1])
    assert fingerprint(paths) == fingerprint(paths)


CHILD = """
import signal, sys, time
from pathlib import Path

def save(*_):
    # As in training, a second signal ends it at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    time.sleep(1)
    Path("saved").touch()
    sys.exit(1)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, save)
Path("started").touch()
time.sleep(60)
"""
STOPPED = """
import sys
from pathlib import Path
from kitti_eval import command
from kitti_eval.steps import Steps
from sfmlearner_tf.tools import demo_world

def main():
    {call}

command.run(main)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    "call", ['Steps(Path("."), "1").run("wait", [sys.executable, "-m", "child"], [], [])', 'demo_world.call("child")']
)
def test_a_stopped_run_lets_its_command_save(tmp_path, number, status, call):
    """Ctrl-C goes to both, as from a terminal; SIGTERM to the run alone."""
    (tmp_path / "child.py").write_text(CHILD)
    code, environment = STOPPED.format(call=call), {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, start_new_session=True
    ) as process:
        while not (tmp_path / "started").exists():
            assert process.poll() is None
            time.sleep(0.02)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    assert process.returncode == status
    assert (tmp_path / "saved").exists()
