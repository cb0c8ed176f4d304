import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest
from PIL import Image

from forked import run_forked
from formatted_data import write_formatted_data
from prepare_command import ROOT

HEIGHT, WIDTH, FRAMES = 32, 64, 3
SIZE = (f"--img_height={HEIGHT}", f"--img_width={WIDTH}", f"--seq_length={FRAMES}")


def command(dataset_dir, *options):
    return [sys.executable, str(ROOT / "tools" / "check_dataset.py"), f"--dataset_dir={dataset_dir}", *options]


def check(dataset_dir, *options):
    return run_forked(*command(dataset_dir, "--num_threads=1", *options)[1:])


@pytest.fixture
def dataset(tmp_path):
    """Eight sound examples, two of them in val.txt."""
    folder = tmp_path / "formatted"
    write_formatted_data(folder, count=8, height=HEIGHT, width=WIDTH, seq_length=FRAMES)
    lines = (folder / "train.txt").read_text().splitlines(keepends=True)
    (folder / "train.txt").write_text("".join(lines[:6]))
    (folder / "val.txt").write_text("".join(lines[6:]))
    return folder


def strip(dataset, number):
    return dataset / "drive" / f"{number:010d}.jpg"


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, quality=75)


def test_sound_data_ends_with_status_0(dataset):
    result = check(dataset, *SIZE)
    assert (result.returncode, result.stdout, result.stderr) == (0, "8 examples are sound\n", "")


def test_masks_are_checked_where_the_data_has_them(dataset):
    """One is sound, one of another size, one cut short, the others are missing."""
    (dataset / "prepared_with.json").write_text(json.dumps({"masks": "matched"}))
    for number, width in enumerate((WIDTH * FRAMES, WIDTH, WIDTH * FRAMES)):
        save(dataset / "drive" / f"{number:010d}-fseg.png", np.full((HEIGHT, width), number))
    cut = dataset / "drive" / "0000000002-fseg.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    result = check(dataset, *SIZE)
    assert result.returncode == 1
    assert "damaged masks of objects: 7" in result.stdout
    assert "0000000001-fseg.png: expected 8 bits and 192x32, found L and 64x32" in result.stdout
    assert f"{cut}: expected masks of objects" in result.stdout
    assert "7 of 8 examples are bad" in result.stderr


def test_distances_are_checked_where_the_data_has_them(dataset):
    (dataset / "prepared_with.json").write_text(json.dumps({"speeds": "oxts"}))
    for number, text in enumerate(("0.5,1", "0,0.25\n", "nan,1", "1", "-1,1", "x,1", "1,inf")):
        (dataset / "drive" / f"{number:010d}_motion.txt").write_text(text)
    result = check(dataset, *SIZE)
    assert result.returncode == 1
    assert "0000000002_motion.txt: expected 2 comma-separated distances, found 'nan,1'" in result.stdout
    assert "0000000007_motion.txt" in result.stdout
    assert "6 of 8 examples are bad" in result.stderr


def test_everything_that_is_wrong_is_found_and_listed(dataset, tmp_path):
    noise = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 3))
    one = np.concatenate([noise, np.full((HEIGHT, WIDTH, 3), 40), noise[::-1]], axis=1)
    strip(dataset, 1).write_bytes(strip(dataset, 1).read_bytes()[:-300])
    save(strip(dataset, 2), np.tile(noise, (1, 2, 1)))
    save(strip(dataset, 3), one)
    save(strip(dataset, 4), np.tile(noise, (1, FRAMES, 1)))
    (dataset / "drive" / "0000000005_cam.txt").write_text("38.4,0.,32.0,0.,nan,16.0,0.,0.,1.")
    shutil.copy(strip(dataset, 0), strip(dataset, 6))
    strip(dataset, 7).unlink()
    with (dataset / "val.txt").open("a") as file:
        file.write("drive 0000000000\n\n")
    listed = tmp_path / "bad.txt"
    result = check(dataset, *SIZE, f"--output_list={listed}")
    assert result.returncode == 1
    for line in (
        "damaged example: 3",
        f"    {strip(dataset, 1)}: expected an image; image file is truncated",
        f"    {dataset}/drive/0000000005_cam.txt: expected finite numbers",
        f"    {strip(dataset, 7)}: expected an image; No such file or directory",
        "    drive 0000000002: expected 192x32, found 128x32",
        "    drive 0000000003: number 2 of its strip",
        "frames all the same: 1\n    drive 0000000004",
        "same pictures under two names: 1\n    drive 0000000006: as drive 0000000000",
        "example listed twice: 1\n    drive 0000000000",
    ):
        assert line in result.stdout
    (summary,) = result.stderr.splitlines()
    assert summary.startswith("error: 8 of 9 examples are bad (damaged example: 3, ")
    assert listed.read_text().split() == [
        word for number in (1, 2, 3, 4, 5, 6, 7, 0) for word in ("drive", f"{number:010d}")
    ]


@pytest.mark.parametrize(("name", "height"), [("kitti_raw", HEIGHT), ("cityscapes", HEIGHT * 4 // 3 + 1)])
def test_the_size_is_that_which_the_data_was_prepared_with(dataset, name, height):
    """Of Cityscapes the upper three quarters are kept."""
    options = {"dataset_name": name, "seq_length": FRAMES, "img_height": height, "img_width": WIDTH}
    (dataset / "prepared_with.json").write_text(json.dumps(options))
    assert check(dataset).stdout == "8 examples are sound\n"
    assert "example of another size: 8" in check(dataset, "--img_width=32").stdout


def test_worker_processes_find_the_same(dataset):
    strip(dataset, 3).write_text("no image")
    assert check(dataset, *SIZE).stdout == check(dataset, *SIZE, "--num_threads=2").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--seq_length: expected a number, as prepared_with.json of"),
        ([*SIZE[:2]], "--seq_length: expected a number"),
        ([*SIZE, "--img_height=0"], "--img_height"),
        ([*SIZE, "--output_list=/dev/null/bad.txt"], "/dev/null/bad.txt: cannot write the result"),
        ([*SIZE, "--dataset_dir=/nowhere"], "/nowhere/train.txt: expected a list of examples"),
    ],
)
def test_mistakes_end_in_one_line(dataset, options, message):
    result = check(dataset, *options)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_progress_is_shown_and_ctrl_c_ends_it_in_one_line(dataset):
    (dataset / "train.txt").write_text("drive 0000000001\n" * 100_000)
    terminal, its_end = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(command(dataset, *SIZE, "--num_threads=1"), stderr=its_end)
    os.close(its_end)
    shown = ""
    while not re.search(r" [1-9]\d*/100002 ", shown):
        shown += os.read(terminal, 1000).decode()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    shown += os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert shown.splitlines()[-1] == "stopped by Ctrl-C"
    assert "Traceback" not in shown


def test_help_explains():
    result = subprocess.run(command("x", "--help"), capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "grep -vxFf bad.txt" in result.stdout
    assert "--output_list" in result.stdout
