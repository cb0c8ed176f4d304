from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sfmlearner_tf.prediction import PosePredictor
from sfmlearner_tf.tools.predict_trajectory import MotionPredictor, chain_vectors

COUNT = 9
TIMES_S = [0.1 * index for index in range(COUNT)]


@pytest.fixture
def path():
    """world_T_camera [COUNT, 4, 4] of a walk with turns in all directions, which does not begin at the origin."""
    random = np.random.RandomState(0)
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("xyz", np.cumsum(random.uniform(-0.2, 0.2, (COUNT, 3)), axis=0)).as_matrix()
    poses[:, :3, 3] = np.cumsum(random.uniform(-1, 1, (COUNT, 3)), axis=0)
    return poses


def to_vectors(poses, length):
    """What a perfect network says of every run of `length` frames: camera_T_target as (tx, ty, tz, rx, ry, rz)."""
    windows = []
    for first in range(len(poses) - length + 1):
        target = poses[first + length // 2]
        camera_T_target = np.linalg.inv(poses[first : first + length]) @ target
        angles = Rotation.from_matrix(camera_T_target[:, :3, :3]).as_euler("XYZ")
        windows.append(np.concatenate([camera_T_target[:, :3, 3], angles], axis=1))
    return windows


@pytest.mark.parametrize("length", [3, 5])
def test_perfect_predictions_lead_along_the_true_path(path, length):
    poses, times_s = chain_vectors(to_vectors(path, length), TIMES_S, scale=1)
    np.testing.assert_allclose(poses, np.linalg.inv(path[0]) @ path, atol=1e-12)
    np.testing.assert_allclose(times_s, TIMES_S)


def test_the_scale_stretches_the_path_and_turns_nothing(path):
    vectors = to_vectors(path, 3)
    plain, scaled = (chain_vectors(vectors, TIMES_S, scale).poses for scale in (1, 2.5))
    np.testing.assert_allclose(scaled[:, :3, 3], 2.5 * plain[:, :3, 3], atol=1e-12)
    np.testing.assert_allclose(scaled[:, :3, :3], plain[:, :3, :3], atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_window_is_predicted_once_and_in_order(batch_size):
    import tensorflow as tf

    def first_pixels(target, sources):
        return tf.constant(np.tile(sources[:, 0, 0, ::3, None].astype(np.float32), 6))

    motions = MotionPredictor(PosePredictor(first_pixels, 32, 64, seq_length=3, target_index=1), batch_size)
    for index in range(COUNT):
        motions.add(np.full([32, 64, 3], [index, 0, 0], np.uint8))
    motions.flush()
    seen = np.array(motions.vectors)[..., 0]
    np.testing.assert_array_equal(seen, [[index, 0, index + 2] for index in range(COUNT - 2)])
