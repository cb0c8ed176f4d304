"""Preparing and rendering that are stopped at any moment, then run again, leave what an undisturbed run leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kitti_tree import write_drive
from prepare_command import ROOT, command, contents
from waiting import wait_for_file

DRIVE = "2011_09_26_drive_0001_sync"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Of each command its line for an output folder, and the files that an undisturbed run leaves."""
    recordings = tmp_path_factory.mktemp("recordings")
    write_drive(recordings, DRIVE, range(200), cameras=["02"])

    def prepare(out: Path) -> list[str]:
        return [*command(recordings, out), "--num_threads=2"]

    def render(out: Path) -> list[str]:
        size = ["--img_height=32", "--img_width=64", "--num_train_scenes=1", "--num_test_scenes=1"]
        tool = [sys.executable, str(ROOT / "tools" / "make_synthetic_kitti.py"), f"--output_dir={out}"]
        return [*tool, *size, "--frames_per_scene=8", "--layouts=raw", "--num_threads=2"]

    made = {}
    for make_command in (prepare, render):
        out = tmp_path_factory.mktemp("undisturbed")
        subprocess.run(make_command(out), check=True, capture_output=True)
        made[make_command.__name__] = make_command, contents(out)
    return made


def start(line: list[str], out: Path, pattern: str) -> subprocess.Popen[str]:
    """Starts a command in a process group of its own; returns when the first such file is there."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for_file(process, out, pattern)
    return process


def kill_worker(process: subprocess.Popen[str]) -> None:
    """Kills one worker process, as the system does when memory runs out."""
    table = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    workers = [int(pid) for pid, parent, args in rows if int(parent) == process.pid and "spawn_main" in args]
    os.kill(workers[0], signal.SIGKILL)


STOPS: dict[str, tuple[Callable[[subprocess.Popen[str]], None], int, str]] = {
    "killed": (subprocess.Popen.kill, -signal.SIGKILL, ""),
    "SIGTERM to all its processes": (lambda process: os.killpg(process.pid, signal.SIGTERM), 143, "stopped by SIGTERM"),
    "Ctrl-C": (lambda process: process.send_signal(signal.SIGINT), 130, "stopped by Ctrl-C"),
    "a worker killed": (kill_worker, 1, "error: a worker process was killed"),
}


@pytest.mark.parametrize(
    ("job", "moment", "stop"),
    [
        ("prepare", "*.json", "killed"),
        *[("prepare", "*.jpg", stop) for stop in STOPS],
        ("render", "*.png", "killed"),
        ("render", "*.png", "a worker killed"),
    ],
)
def test_the_same_command_finishes_what_was_stopped(jobs, tmp_path, job, moment, stop):
    make_command, undisturbed = jobs[job]
    out = tmp_path / "out"
    process = start(make_command(out), out, moment)
    act, status, last_line = STOPS[stop]
    act(process)
    _, errors = process.communicate(timeout=60)
    assert contents(out) != undisturbed, "stopped too late to show anything"
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert (errors.splitlines() or [""])[-1].startswith(last_line)
    again = subprocess.run(make_command(out), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert contents(out) == undisturbed
