"""What the benchmarks do with wrong flags, and when they are stopped."""

from __future__ import annotations

import importlib
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
        ("train_on_real", "--steps=5", "--steps: expected two numbers, such as 4000,2500, found 5"),
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


@pytest.mark.parametrize("ray", [(0, 0, 1), (0.3, 0.1, 1), (-0.4, -0.05, 1)])
def test_levelled_pictures_show_rays_where_a_camera_that_looks_ahead_would(tmp_path, monkeypatch, ray):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    levelling = importlib.import_module("levelling")
    camera, pitch = (323.0, 323.0, 210.0, 20.0), np.radians(6.8)
    # Straight ahead lies below the axis of a camera that looks up.
    x, y, z = ray[0], ray[1] * np.cos(pitch) + np.sin(pitch), np.cos(pitch) - ray[1] * np.sin(pitch)
    column, row = camera[0] * x / z + camera[2], camera[1] * y / z + camera[3]
    rows, columns = np.indices((128, 416))
    blob = 255 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)
    Image.fromarray(np.uint8(blob)).convert("RGB").save(tmp_path / "0.png")

    fx, fy, cx, cy = levelling.level([tmp_path / "0.png"], camera, 6.8, tmp_path / "levelled")

    levelled = np.asarray(Image.open(tmp_path / "levelled" / "0.png"))[..., 0].astype(float)
    found = [(levelled * grid).sum() / levelled.sum() for grid in (columns, rows)]
    assert found == pytest.approx([fx * ray[0] + cx, fy * ray[1] + cy], abs=0.1)


def test_the_report_of_real_video_has_each_seeds_last_errors_beside_the_mean_depths(tmp_path):
    header = "step,abs_rel_01,abs_rel_06,abs_rel_0052,ate_01,ate_06\n"
    (tmp_path / "trivial.csv").write_text(
        header + "constant depth,0.5,0.4,0.3,0.04,0.03\nmean depth,0.25,0.15,0.7,0.04,0.03\n"
    )
    (tmp_path / "release-both-20-1.csv").write_text(header + "10,9,9,9,9,9\n20,0.2,0.1,0.4,0.01,0.02\n")
    (tmp_path / "release-both-20-2.csv").write_text(header + "20,0.1,0.2,0.6,0.03,0.04\n")
    (tmp_path / "release+then+ssim_weight=0.85+smooth_weight=0.1-both-20-1.csv").write_text(
        header + "20,0.4,0.2,0.5,0.04,0.05\n"
    )
    (tmp_path / "release-generated-40-1.csv").write_text(header + "40,0.4,0.2,0.1,0.05,0.06\n")
    document = BENCHMARKS.parent / "docs" / "learning.md"
    before = document.read_bytes()

    done = run_forked(str(BENCHMARKS / "train_on_real.py"), "--variants=", f"--results_dir={tmp_path}")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2:] == [
        "| constant depth | | | 0.500 | 0.400 | 0.450 | 2.25 | 0.300 | 0.040 | 0.030 |",
        "| mean depth | | | 0.250 | 0.150 | 0.200 | 1.00 | 0.700 | 0.040 | 0.030 |",
        "| release, generated | 40 | 1 | 0.400 | 0.200 | 0.300 | 1.50 | 0.100 | 0.050 | 0.060 |",
        "| release, both | 20 | 2 | 0.150 (0.200, 0.100) | 0.150 (0.100, 0.200) | 0.150 (0.150, 0.150) | "
        "0.75 (0.75, 0.75) | 0.500 (0.400, 0.600) | 0.020 (0.010, 0.030) | 0.030 (0.020, 0.040) |",
        "| release, then ssim_weight=0.85, smooth_weight=0.1, both | 20 | 1 | 0.400 | 0.200 | 0.300 | 1.50 | 0.500 | "
        "0.040 | 0.050 |",
    ]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert document.read_bytes() == before


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
