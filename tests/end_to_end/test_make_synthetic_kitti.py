"""tools/make_synthetic_kitti.py, run as a user runs it."""

import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forked import run_forked
from kitti_eval.locks import lock_folder

REPO = Path(__file__).parents[2]
OF_LATER = ("focal_length", "traffic")  # options that the first versions did not have
SMALL = ("--num_train_scenes=1", "--num_test_scenes=1", "--frames_per_scene=4", "--img_height=32", "--img_width=64")


def make(output_dir, *arguments):
    return run_forked(str(REPO / "tools" / "make_synthetic_kitti.py"), f"--output_dir={output_dir}", *arguments)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    result = make(folder, *SMALL, "--num_threads=1")
    assert result.returncode == 0, result.stderr
    return folder


def test_layout_is_the_official_one(world):
    raw = "kitti_raw/2011_09_26"
    expected = {"make_synthetic_kitti.json", "kitti_raw/test_files.txt"}
    expected |= {f"{raw}/calib_{name}.txt" for name in ("cam_to_cam", "velo_to_cam", "imu_to_velo")}
    for drive in ("2011_09_26_drive_1001_sync", "2011_09_26_drive_0117_sync"):
        for sensor, end in (("image_02", "png"), ("image_03", "png"), ("oxts", "txt"), ("velodyne_points", "bin")):
            expected |= {f"{raw}/{drive}/{sensor}/timestamps.txt"}
            expected |= {f"{raw}/{drive}/{sensor}/data/{frame:010d}.{end}" for frame in range(4)}
        expected |= {f"{raw}/{drive}/proj_depth/groundtruth/image_02/{frame:010d}.png" for frame in range(4)}
    for sequence in ("00", "09"):
        expected |= {f"kitti_odometry/sequences/{sequence}/{name}" for name in ("calib.txt", "times.txt")}
        expected |= {f"kitti_odometry/sequences/{sequence}/image_2/{frame:06d}.png" for frame in range(4)}
        expected |= {f"kitti_odometry/poses/{sequence}.txt"}
    files = contents(world)
    assert set(files) == expected
    assert (
        files[f"{raw}/2011_09_26_drive_0117_sync/image_02/data/0000000002.png"]
        == files["kitti_odometry/sequences/09/image_2/000002.png"]
    )
    listed = files["kitti_raw/test_files.txt"].decode().split()
    assert listed == [f"2011_09_26/2011_09_26_drive_0117_sync/image_02/data/000000000{frame}.png" for frame in (1, 2)]


def test_files_hold_what_their_format_says(world):
    drive = world / "kitti_raw/2011_09_26/2011_09_26_drive_1001_sync"
    image = np.array(Image.open(drive / "image_02/data/0000000000.png"))
    depth = np.array(Image.open(drive / "proj_depth/groundtruth/image_02/0000000000.png"))
    points = np.fromfile(drive / "velodyne_points/data/0000000000.bin", np.float32).reshape(-1, 4)
    assert (image.shape, image.dtype) == ((32, 64, 3), np.uint8)
    assert depth.shape == (32, 64)
    assert 3 < np.median(depth[depth > 0]) / 256 < 60
    assert len(points) > 4000
    assert np.linalg.norm(points[:, :3], axis=1).max() <= 80
    assert len((drive / "oxts/data/0000000000.txt").read_text().split()) == 30


def test_bytes_do_not_depend_on_the_number_of_processes(world, tmp_path):
    result = make(tmp_path, *SMALL, "--num_threads=2")
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path) == contents(world)


def test_second_run_makes_only_what_is_missing(tmp_path):
    flags = (*SMALL, "--layouts=odometry", "--num_threads=1")
    assert make(tmp_path, *flags).returncode == 0
    before = contents(tmp_path)
    assert not (tmp_path / "kitti_raw").exists()
    lost = tmp_path / "kitti_odometry/sequences/00/image_2/000001.png"
    kept = tmp_path / "kitti_odometry/sequences/00/image_2/000002.png"
    written = kept.stat().st_mtime_ns
    lost.unlink()
    result = make(tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    assert "1 frames rendered now" in result.stdout
    assert contents(tmp_path) == before
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--img_height=16",), ("--img_height", "32", "16")),
        (("--img_width=31",), ("--img_width", "32", "31")),
        (("--num_train_scenes=0",), ("--num_train_scenes", "1", "0")),
        (("--frames_per_scene=-3",), ("--frames_per_scene", "1", "-3")),
        (("--num_test_scenes=99",), ("--num_test_scenes", "99")),
        (("--focal_length=0",), ("--focal_length", "0.2", "5", "0.0")),
        (("--focal_length=nan",), ("--focal_length", "nan")),
        (("--traffic=1.5",), ("--traffic", "0", "1", "1.5")),
        (("--num_threads=0",), ("num_threads", "0")),
        (("--layouts=raw,kitti",), ("layouts", "kitti", "odometry")),
    ],
)
def test_wrong_flag_is_named_in_one_line(tmp_path, flags, named):
    result = make(tmp_path, *flags)
    assert_one_line(result, named)
    assert os.listdir(tmp_path) == []


def test_folder_made_with_other_flags_is_refused(world):
    before = contents(world)
    assert_one_line(make(world, *SMALL, "--seed=1"), ("output_dir", "seed=8964 there, 1 now"))
    assert contents(world) == before


def test_a_folder_from_before_an_option_goes_on(tmp_path):
    flags = (*SMALL, "--layouts=raw", "--stereo=false")
    assert make(tmp_path, *flags).returncode == 0
    path = tmp_path / "make_synthetic_kitti.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k not in OF_LATER}))
    assert "0 frames rendered now" in make(tmp_path, *flags).stdout
    assert_one_line(make(tmp_path, *flags, "--traffic=0.5"), ("output_dir", "traffic=0.0 there, 0.5 now"))


def test_traffic_comes_with_masks_and_places(tmp_path):
    assert make(tmp_path, *SMALL, "--traffic=1").returncode == 0
    (drive,) = (tmp_path / "kitti_raw" / "2011_09_26").glob("*_drive_1001_sync")
    cars = {row["car"] for row in csv.DictReader((drive / "objects.csv").open())}
    masks = {}
    for camera, frame in itertools.product((2, 3), range(4)):
        path = tmp_path / "kitti_raw_masks" / "2011_09_26" / drive.name / f"image_0{camera}/data/{frame:010d}.png"
        mask = masks[camera, frame] = np.asarray(Image.open(path))
        assert (mask.dtype, mask.shape) == (np.uint8, (32, 64))
        assert {str(number) for number in np.unique(mask)} <= {"0", *cars}
        assert 0.02 < (mask > 0).mean() < 0.9
    # The right camera sees each car farther left.
    shifts = []
    for number in np.unique(masks[2, 0])[1:]:
        columns = [np.nonzero(masks[camera, 0] == number)[1] for camera in (2, 3)]
        if all(len(seen) and seen.min() > 0 and seen.max() < 63 for seen in columns):
            shifts.append(columns[0].mean() - columns[1].mean())
    assert shifts
    assert 0 < min(shifts) <= max(shifts) < 6
    # A second run finds all of it.
    assert "0 frames rendered now" in make(tmp_path, *SMALL, "--traffic=1").stdout


def test_folder_with_real_recordings_is_refused(tmp_path):
    (tmp_path / "kitti_raw").mkdir()
    assert_one_line(make(tmp_path, *SMALL), ("output_dir", "kitti_raw"))
    assert os.listdir(tmp_path / "kitti_raw") == []


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert_one_line(make(tmp_path / "file", *SMALL), (f"{tmp_path}/file: expected a folder to write to",))


def test_a_second_process_on_the_folder_is_refused(tmp_path):
    with lock_folder(tmp_path / "out"):
        assert_one_line(make(tmp_path / "out", *SMALL), (f"{tmp_path}/out: another process works in this folder",))
    assert os.listdir(tmp_path / "out") == []


def test_help_explains(tmp_path):
    result = subprocess.run(
        [sys.executable, str(REPO / "tools" / "make_synthetic_kitti.py"), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert "Example:" in result.stdout
    assert "--frames_per_scene" in result.stdout


def assert_one_line(result, named):
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in named:
        assert word in result.stderr


def test_the_focal_length_is_that_of_pictures_and_calibration(tmp_path, world):
    """At twice the focal length a picture is the middle of what it was."""
    made = make(tmp_path / "tele", *SMALL, "--focal_length=1.16")
    assert made.returncode == 0, made.stderr
    pictures = (next(folder.rglob("image_02/data/0000000002.png")) for folder in (world, tmp_path))
    wide, tele = (np.asarray(Image.open(picture), float) for picture in pictures)
    # Pixel (x, y) of the long one shows what the other has at half the distance from the principal point.
    centre = np.array([0.49 * 64, 0.46 * 32])
    pixels = np.mgrid[8:56:4, 4:28:4].reshape(2, -1).T
    halved = np.rint(centre + (pixels - centre) / 2).astype(int)
    apart = np.abs(tele[pixels[:, 1], pixels[:, 0]] - wide[halved[:, 1], halved[:, 0]]).mean()
    unmoved = np.abs(tele[pixels[:, 1], pixels[:, 0]] - wide[pixels[:, 1], pixels[:, 0]]).mean()
    assert apart < 0.6 * unmoved
    calibration = next(tmp_path.rglob("calib_cam_to_cam.txt")).read_text()
    (line,) = [line for line in calibration.splitlines() if line.startswith("P_rect_02")]
    assert float(line.split()[1]) == pytest.approx(1.16 * 64)
