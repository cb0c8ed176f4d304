"""Preparing on a full disk, and from recordings that change under its hands: one line, and the next run finishes."""

from __future__ import annotations

import resource
import subprocess
import time

import pytest

from kitti_eval.locks import open_locked
from kitti_tree import write_drive
from prepare_command import command, contents, prepare

DRIVE = "2011_09_26_drive_0001_sync"


@pytest.fixture
def dataset(tmp_path):
    write_drive(tmp_path / "data", DRIVE, range(10), cameras=["02"])
    return tmp_path / "data"


# Nothing fits; all but the strips do.
@pytest.mark.parametrize("limit", [10, 1000])
def test_files_that_do_not_fit_are_named_and_no_part_of_one_stays(dataset, tmp_path, limit):
    assert prepare(dataset, tmp_path / "undisturbed").returncode == 0
    result = subprocess.run(
        command(dataset, tmp_path / "out"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 1
    assert "File too large" in result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not [name for name in contents(tmp_path / "out") if name.endswith((".part", ".lock"))]
    assert prepare(dataset, tmp_path / "out").returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_full_disk_ends_the_run_at_once(dataset, tmp_path, num_threads):
    assert prepare(dataset, tmp_path / "undisturbed").returncode == 0
    folder = tmp_path / "out" / f"{DRIVE}_02"
    folder.mkdir(parents=True)
    # The device that is always full, in a strip's place.
    (folder / "0000000003.jpg").symlink_to("/dev/full")
    result = prepare(dataset, tmp_path / "out", f"--num_threads={num_threads}")
    assert result.returncode == 1
    assert f"{folder}/0000000003.jpg: No space left on device; make room and run the same command again" in (
        result.stderr
    )
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "train.txt").exists()
    (folder / "0000000003.jpg").unlink()
    assert prepare(dataset, tmp_path / "out").returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_frame_that_disappears_after_it_was_listed_costs_only_its_own_examples(dataset, tmp_path):
    assert prepare(dataset, tmp_path / "undisturbed").returncode == 0
    out = tmp_path / "out"
    out.mkdir()
    lost = dataset / "2011_09_26" / DRIVE / "image_02" / "data" / "0000000007.png"
    # The run waits for this file when it has listed the frames.
    with open_locked(out / "prepared_with.json"):
        process = subprocess.Popen(command(dataset, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not (out / ".lock").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        lost.rename(tmp_path / "elsewhere.png")
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"{lost}: expected an image; No such file or directory" in printed
    assert "damaged frame: 1, 3 of 8 examples lost" in errors
    assert len(errors.splitlines()) == 1
    (tmp_path / "elsewhere.png").rename(lost)
    assert prepare(dataset, out).returncode == 0
    assert contents(out) == contents(tmp_path / "undisturbed")
