"""Predictions that are killed, stopped or out of disk leave whole files, and the same command again finishes them."""

from __future__ import annotations

import resource
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forked import ForkedCommand
from tiny_saved_model import write_tiny_saved_model
from waiting import wait_for_file

COUNT = 200


@pytest.fixture
def flags(tmp_path):
    """Those of the command, but for --output_dir, on images that all differ."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for index in range(COUNT):
        pixels = np.random.RandomState(index).randint(0, 256, (50, 90, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return [f"--saved_model={write_tiny_saved_model(tmp_path / 'model')}", f"--input={folder}", "--output=png,npy"]


def start(flags, out: Path, before=None) -> ForkedCommand:
    return ForkedCommand("-m", "sfmlearner_tf.tools.predict", *flags, f"--output_dir={out}", before=before)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_after(process: ForkedCommand, path: Path, number: int) -> str:
    """Sends a signal once a file is there; returns what the process said."""
    wait_for_file(process, path.parent, path.name)
    process.send_signal(number)
    return process.communicate()[1]


def test_stopped_predictions_end_as_the_undisturbed(flags, tmp_path):
    out = tmp_path / "out"
    process = start([*flags, "--poses"], tmp_path / "undisturbed")
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    undisturbed = contents(tmp_path / "undisturbed")
    assert len(undisturbed) == 2 * COUNT + 1

    for frame, number, status in ((7, signal.SIGKILL, -signal.SIGKILL), (60, signal.SIGTERM, 143)):
        process = start([*flags, "--poses"], out)
        errors = stop_after(process, out / f"{frame}_depth.npy", number)
        assert process.returncode == status, errors
        assert f"{COUNT - 1}_depth.npy" not in contents(out)
        for name, content in contents(out).items():
            assert name.startswith(".") or content == undisturbed[name]

    process = start([*flags, "--poses"], out)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert contents(out) == undisturbed


def test_a_full_disk_is_told_in_one_line_and_spoils_nothing(flags, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "0_depth.png").write_bytes(b"earlier")
    # Room for some of a picture.
    process = start(flags, out, before=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (5000, 5000)))
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1] == f"error: {out}/0_depth.npy: cannot write the prediction; File too large"
    assert contents(out) == {"0_depth.png": b"earlier"}
