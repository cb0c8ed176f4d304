import numpy as np

from sfmlearner_tf.data import kitti_writer
from sfmlearner_tf.data.oxts import convert_oxts, read_camera_poses
from sfmlearner_tf.data.synthetic import intrinsics, make_scene, trajectory


def test_generated_recordings_give_the_poses_back(tmp_path):
    truth = trajectory(make_scene(seed=3, frames=8))
    kitti_writer.write_text(
        str(tmp_path / "calib_cam_to_cam.txt"), kitti_writer.cam_to_cam_text(intrinsics(64, 208), 64, 208)
    )
    kitti_writer.write_text(str(tmp_path / "calib_velo_to_cam.txt"), kitti_writer.velo_to_cam_text())
    kitti_writer.write_text(str(tmp_path / "calib_imu_to_velo.txt"), kitti_writer.imu_to_velo_text())
    for number, text in enumerate(kitti_writer.oxts_texts(truth)):
        kitti_writer.write_text(str(tmp_path / f"drive/oxts/data/{number:010d}.txt"), text)
    poses = read_camera_poses(str(tmp_path), "drive")
    found, expected = np.linalg.inv(poses[0]) @ poses, np.linalg.inv(truth[0]) @ truth
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_one_millidegree_north():
    recordings = np.zeros((2, 30))
    recordings[1, 0] = 1e-3
    poses = convert_oxts(recordings)
    np.testing.assert_allclose(poses[1, :3, 3] - poses[0, :3, 3], [0, 111.319, 0], atol=1e-3)
