"""What is written in KITTI's formats gives the truth back through KITTI's own conventions, read independently here."""

import io

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data import kitti_writer as kitti
from sfmlearner_tf.data.synthetic import intrinsics, make_scene, trajectory
from sfmlearner_tf.data.synthetic_render import render, render_depth, scan

HEIGHT, WIDTH = 48, 160
CAMERA = intrinsics(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def scene():
    return make_scene(seed=11, frames=12)


@pytest.fixture(scope="module")
def world_T_cam(scene):
    return trajectory(scene)


def read_calibration(text):
    """Key to numbers, as every KITTI reader does it; lines that are no numbers are left out."""
    entries = {}
    for line in text.splitlines():
        key, values = line.split(":", 1)
        try:
            entries[key] = np.array([float(value) for value in values.split()])
        except ValueError:
            continue
    return entries


def rigid(text):
    entries = read_calibration(text)
    return np.block([[entries["R"].reshape(3, 3), entries["T"].reshape(3, 1)], [np.zeros(3), np.ones(1)]])


def test_camera_calibration_has_every_key_of_the_official_file():
    entries = read_calibration(kitti.cam_to_cam_text(CAMERA, HEIGHT, WIDTH))
    sizes = {"S": 2, "K": 9, "D": 5, "R": 9, "T": 3, "S_rect": 2, "R_rect": 9, "P_rect": 12}
    for number in range(4):
        for key, size in sizes.items():
            assert entries[f"{key}_{number:02d}"].size == size
        np.testing.assert_array_equal(entries[f"S_rect_{number:02d}"], [WIDTH, HEIGHT])
        projection = entries[f"P_rect_{number:02d}"].reshape(3, 4)
        np.testing.assert_allclose(projection[:, :3], CAMERA, rtol=1e-12)
        # The rectified camera is the unrectified one, turned: both must put a far point into the same place.
        rotation, translation = entries[f"R_{number:02d}"].reshape(3, 3), entries[f"T_{number:02d}"]
        point = np.array([0.3, -0.2, 5.0])
        before = entries["R_rect_00"].reshape(3, 3).T @ point
        camera = entries[f"R_rect_{number:02d}"].reshape(3, 3) @ (rotation @ before + translation)
        pixel = projection @ [*point, 1]
        np.testing.assert_allclose(CAMERA @ camera, pixel, rtol=1e-10)
    baseline_m = (entries["P_rect_02"][3] - entries["P_rect_03"][3]) / CAMERA[0, 0]
    np.testing.assert_allclose(baseline_m, 0.54)
    assert not np.allclose(entries["R_rect_00"], np.eye(3).ravel(), atol=1e-3)


def test_lidar_points_land_on_the_rendered_depth_through_the_calibration(scene, world_T_cam):
    entries = read_calibration(kitti.cam_to_cam_text(CAMERA, HEIGHT, WIDTH))
    rectify = np.eye(4)
    rectify[:3, :3] = entries["R_rect_00"].reshape(3, 3)
    projection = entries["P_rect_02"].reshape(3, 4) @ rectify @ rigid(kitti.velo_to_cam_text())

    world_T_velo = world_T_cam[4] @ kitti.cam2_T_velo
    points = scan(scene, world_T_velo, np.radians(np.arange(-52, 52, 0.5)), np.radians(np.linspace(-24.8, 2, 64)))
    depth_m = render_depth(scene, np.linalg.inv(world_T_cam[4]), CAMERA, HEIGHT, WIDTH)
    u, v, z = projection @ np.concatenate([points[:, :3], np.ones((len(points), 1))], axis=1).T
    u, v = np.rint(u / z).astype(int), np.rint(v / z).astype(int)
    seen = (z > 0.1) & (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
    assert seen.sum() > 3000
    ratio = depth_m[v[seen], u[seen]] / z[seen]
    # A lidar above the camera looks past some edges; half a pixel on the ground is a few per cent of its depth.
    assert np.mean(np.abs(ratio - 1) < 0.03) > 0.85
    assert np.abs(np.median(ratio) - 1) < 0.003


def test_oxts_give_the_poses_back(world_T_cam):
    """Poses by KITTI's Mercator formula and the calibration chain, from the text alone."""
    rows = np.array([[float(word) for word in text.split()] for text in kitti.oxts_texts(world_T_cam)])
    assert rows.shape == (12, 30)
    radius, scale = 6378137.0, np.cos(rows[0, 0] * np.pi / 180)
    poses = []
    for latitude, longitude, altitude, roll, pitch, yaw in rows[:, :6]:
        x = scale * longitude * np.pi * radius / 180
        y = scale * radius * np.log(np.tan((90 + latitude) * np.pi / 360))
        about_x = [[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]]
        about_y = [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
        about_z = [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
        pose = np.eye(4)
        pose[:3, :3] = np.array(about_z) @ about_y @ about_x
        pose[:3, 3] = x, y, altitude
        poses.append(pose)
    entries = read_calibration(kitti.cam_to_cam_text(CAMERA, HEIGHT, WIDTH))
    rectify, shift = np.eye(4), np.eye(4)
    rectify[:3, :3] = entries["R_rect_00"].reshape(3, 3)
    shift[0, 3] = entries["P_rect_02"][3] / entries["P_rect_02"][0]
    cam2_T_imu = shift @ rectify @ rigid(kitti.velo_to_cam_text()) @ rigid(kitti.imu_to_velo_text())
    cam2 = np.array(poses) @ np.linalg.inv(cam2_T_imu)
    np.testing.assert_allclose(np.linalg.inv(cam2[0]) @ cam2, np.linalg.inv(world_T_cam[0]) @ world_T_cam, atol=2e-8)
    # Speed and turn rate describe the same motion, forwards at 3.5 m/s.
    np.testing.assert_allclose(np.hypot(rows[:, 6], rows[:, 7]), np.hypot(rows[:, 8], rows[:, 9]), rtol=1e-9)
    assert (np.abs(rows[:, 8] - 3.5) < 0.8).all()
    yaw_rate = np.diff(rows[:, 5]) / kitti.FRAME_SECONDS
    np.testing.assert_allclose(rows[:-1, 22], yaw_rate, atol=2e-3)
    np.testing.assert_allclose(rows[:, 13], 9.8, atol=0.8)  # gravity is felt upwards


def test_odometry_poses_are_those_of_camera_0_from_its_first_frame(world_T_cam):
    poses = np.array([line.split() for line in kitti.odometry_poses_text(world_T_cam).splitlines()], float)
    poses = np.concatenate([poses.reshape(-1, 3, 4), np.tile([[[0, 0, 0, 1.0]]], (12, 1, 1))], axis=1)
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-12)
    calibration = read_calibration(kitti.odometry_calibration_text(CAMERA))
    # A world point goes through camera 0's pose and P2 to the pixel where camera 2 sees it.
    point = world_T_cam[6] @ [1.0, 0.5, 12.0, 1.0]
    expected = CAMERA @ (np.linalg.inv(world_T_cam[3]) @ point)[:3]
    in_first_cam2 = np.linalg.inv(world_T_cam[0]) @ point
    in_first_cam0 = in_first_cam2 - [calibration["P2"][3] / calibration["P2"][0], 0, 0, 0]
    np.testing.assert_allclose(
        calibration["P2"].reshape(3, 4) @ np.linalg.inv(poses[3]) @ in_first_cam0, expected, rtol=1e-9
    )
    np.testing.assert_allclose(calibration["Tr"].reshape(3, 4), kitti.cam0_T_velo[:3], atol=1e-11)
    assert len(kitti.times_text(12).splitlines()) == 12


def test_right_picture_is_the_left_one_moved_by_the_disparity(scene, world_T_cam):
    left, depth_m = render(scene, world_T_cam[2], CAMERA, HEIGHT, WIDTH)
    right, _ = render(scene, world_T_cam[2] @ kitti.cam2_T_cam3, CAMERA, HEIGHT, WIDTH)
    v, u = np.nonzero(depth_m > 0)
    moved = u - 0.54 * CAMERA[0, 0] / depth_m[v, u]
    inside = moved >= 0
    v, u, moved = v[inside], u[inside], moved[inside]
    first, part = np.floor(moved).astype(int), (moved % 1)[:, None]
    sample = (1 - part) * right[v, first] + part * right[v, np.minimum(first + 1, WIDTH - 1)]
    assert np.median(np.abs(sample - left[v, u])) < 1.5
    assert np.median(np.abs(right[v, u].astype(float) - left[v, u])) > 5


def test_depth_picture_keeps_1_256th_of_a_metre():
    depth_m = np.array([[0.0, 5.4321, 80.001], [255.99, 256.0, 400.0]])
    picture = np.array(Image.open(io.BytesIO(kitti.depth_png_bytes(depth_m))))
    assert picture.max() > 255  # sixteen bits
    np.testing.assert_allclose(picture[0] / 256, depth_m[0], atol=1 / 512)
    np.testing.assert_allclose(picture[1] / 256, [255.99, 0, 0], atol=1 / 512)


def test_timestamps_have_nanoseconds_and_follow_the_date():
    lines = kitti.timestamps_text("2011_09_28", 3).splitlines()
    assert lines == [
        "2011-09-28 12:00:00.000000000",
        "2011-09-28 12:00:00.100000000",
        "2011-09-28 12:00:00.200000000",
    ]
