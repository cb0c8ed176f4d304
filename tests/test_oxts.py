import shutil

import numpy as np
import pytest

from sfmlearner_tf.data import kitti_writer
from sfmlearner_tf.data.oxts import convert_oxts, read_camera_poses
from sfmlearner_tf.data.synthetic import intrinsics, make_scene, trajectory
from sfmlearner_tf.errors import UserError


@pytest.fixture(scope="module")
def truth():
    return trajectory(make_scene(seed=3, frames=8))


@pytest.fixture
def date_dir(tmp_path, truth):
    for name, text in (
        ("calib_cam_to_cam.txt", kitti_writer.cam_to_cam_text(intrinsics(64, 208), 64, 208)),
        ("calib_velo_to_cam.txt", kitti_writer.velo_to_cam_text()),
        ("calib_imu_to_velo.txt", kitti_writer.imu_to_velo_text()),
        *((f"drive/oxts/data/{number:010d}.txt", text) for number, text in enumerate(kitti_writer.oxts_texts(truth))),
    ):
        kitti_writer.write_text(str(tmp_path / name), text)
    return tmp_path


def test_generated_recordings_give_the_poses_back(date_dir, truth):
    poses = read_camera_poses(str(date_dir), "drive")
    found, expected = np.linalg.inv(poses[0]) @ poses, np.linalg.inv(truth[0]) @ truth
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_poses_of_a_few_frames_are_those_of_the_whole_and_read_no_more(date_dir):
    whole = read_camera_poses(str(date_dir), "drive")
    for number in (1, 2, 4, 6):
        (date_dir / f"drive/oxts/data/{number:010d}.txt").write_text("damaged")
    np.testing.assert_array_equal(read_camera_poses(str(date_dir), "drive", frames=[5, 3, 7]), whole[[5, 3, 7]])
    with pytest.raises(UserError, match=r"0000000004.txt: expected 30 finite numbers, found 'damaged'"):
        read_camera_poses(str(date_dir), "drive", frames=[3, 4])
    with pytest.raises(UserError, match="expected a GPS/IMU recording of frame 8, found none"):
        read_camera_poses(str(date_dir), "drive", frames=[3, 8])


def test_other_files_among_the_recordings_do_no_harm(date_dir):
    whole = read_camera_poses(str(date_dir), "drive")
    (date_dir / "drive/oxts/data/.DS_Store").write_text("no recording")
    (date_dir / "drive/oxts/data/0000000000.txt~").write_text("an editor's copy")
    np.testing.assert_array_equal(read_camera_poses(str(date_dir), "drive"), whole)


def test_one_millidegree_north():
    recordings = np.zeros((2, 30))
    recordings[1, 0] = 1e-3
    poses = convert_oxts(recordings)
    np.testing.assert_allclose(poses[1, :3, 3] - poses[0, :3, 3], [0, 111.319, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "entry", "numbers"),
    [
        ("calib_imu_to_velo.txt", "R:", "0 " * 9),
        ("calib_imu_to_velo.txt", "R:", "1 0 0 0 1 0 0 0 0"),
        ("calib_velo_to_cam.txt", "R:", "1 0 0 0 1 0 0 0 -1"),
        ("calib_velo_to_cam.txt", "R:", "2 0 0 0 2 0 0 0 2"),
        ("calib_velo_to_cam.txt", "T:", "1e308 0 0"),
        ("calib_cam_to_cam.txt", "P_rect_02:", "0 " * 12),
        ("calib_cam_to_cam.txt", "P_rect_02:", "1e-300 0 60 4 0 72 17 0 0 0 1 0"),
        ("calib_cam_to_cam.txt", "P_rect_02:", "72 0 60 4 72 0 17 0 0 0 1 0"),
        ("calib_cam_to_cam.txt", "R_rect_00:", "nan " * 9),
    ],
)
def test_a_calibration_that_describes_no_car_is_named(date_dir, name, entry, numbers):
    path = date_dir / name
    lines = [f"{entry} {numbers}" if line.startswith(entry) else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=f"{name}.*expected"):
        read_camera_poses(str(date_dir), "drive")


@pytest.mark.parametrize(
    ("column", "value"), [(0, "91"), (0, "-90"), (0, "1e300"), (1, "9e5"), (2, "1e308"), (5, "nan"), (5, "1" * 5000)]
)
def test_a_recording_of_no_place_on_earth_is_named(date_dir, column, value):
    path = date_dir / "drive/oxts/data/0000000003.txt"
    words = path.read_text().split()
    words[column] = value
    path.write_text(" ".join(words))
    with pytest.raises(UserError, match=r"expected"):
        read_camera_poses(str(date_dir), "drive")


def test_a_drive_without_recordings_is_named(date_dir):
    shutil.rmtree(date_dir / "drive")
    with pytest.raises(UserError, match="drive/oxts/data: expected the drive's GPS/IMU recordings"):
        read_camera_poses(str(date_dir), "drive")
