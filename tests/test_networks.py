"""The layers, DispNet and PoseExpNet; their numbers are proven in parity/test_golden.py."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from golden_numbers import FOLDER
from sfmlearner_tf import DispNet, PoseExpNet
from sfmlearner_tf.networks.layers import crop_like, resize_bilinear


@pytest.mark.parametrize(("height", "width"), [(7, 4), (8, 4), (8, 3), (7, 3)])
def test_crop_like_is_legacy_nearest_resizing(height, width):
    features = tf.random.stateless_normal([2, 8, 4, 3], [0, 0])
    cropped = crop_like(features, tf.zeros([2, height, width, 5]))
    np.testing.assert_array_equal(cropped, tf.compat.v1.image.resize_nearest_neighbor(features, [height, width]))


def test_resize_bilinear_by_hand():
    row = tf.constant([[[[0.0], [2.0], [6.0]]]])
    np.testing.assert_allclose(resize_bilinear(row, 1, 6)[0, 0, :, 0], [0, 1, 2, 4, 6, 6])


def test_parameter_counts_are_the_release_s():
    depth_net = DispNet()
    depth_net(tf.zeros([1, 32, 32, 3]))
    assert depth_net.count_params() == 31_596_900
    for explain, count in ((False, 1_590_668), (True, 1_590_668 + 1_048_512)):
        pose_net = PoseExpNet(2, explain)
        pose_net(tf.zeros([1, 32, 32, 3]), tf.zeros([1, 32, 32, 6]))
        assert pose_net.count_params() == count


def test_variables_are_those_of_the_released_model():
    recorded = json.loads((FOLDER / "released_variables.json").read_text())
    depth_net, pose_net = DispNet(), PoseExpNet(2)
    depth_net(tf.zeros([1, 32, 32, 3]))
    pose_net(tf.zeros([1, 32, 32, 3]), tf.zeros([1, 32, 32, 6]))
    ours = {**depth_net.release_variables(), **pose_net.release_variables()}
    shapes = {name: variable.shape.as_list() for name, variable in ours.items()}
    assert shapes | {"train_op/global_step": []} == recorded


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (45, 100), (128, 416)])
def test_any_size(height, width):
    disparities = DispNet()(tf.zeros([1, height, width, 3]))
    poses, logits = PoseExpNet(4, True)(tf.zeros([1, height, width, 3]), tf.zeros([1, height, width, 12]))
    assert poses.shape == (1, 4, 6)
    for scale in range(4):
        size = (-(-height // 2**scale), -(-width // 2**scale))
        assert disparities[scale].shape == (1, *size, 1)
        assert logits[scale].shape == (1, *size, 8)


def test_disparity_stays_in_its_range():
    images = tf.random.stateless_uniform([2, 32, 64, 3], [0, 0], -1, 1)
    network = DispNet()
    for disparity in network(images):
        assert 0.01 <= np.min(disparity) <= np.max(disparity) <= 10.01


def test_seed_decides_the_weights():
    images = tf.random.stateless_uniform([1, 32, 32, 3], [0, 0], -1, 1)
    same, again, other = (DispNet(seed)(images)[0].numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 1e-3


@pytest.mark.parametrize("network", [DispNet(seed=3), PoseExpNet(4, True, seed=5)], ids=["DispNet", "PoseExpNet"])
def test_config_rebuilds_the_network(network: keras.Model):
    assert type(network).from_config(network.get_config()).get_config() == network.get_config()


def test_wrong_images_are_refused():
    with pytest.raises(
        ValueError, match=r"images must be \[B, H, W, 3\] with H and W at least 32, got \(1, 31, 64, 3\)"
    ):
        DispNet()(tf.zeros([1, 31, 64, 3]))
    with pytest.raises(ValueError, match=r"sources must be \[B, H, W, 6\]"):
        PoseExpNet(2)(tf.zeros([1, 32, 64, 3]), tf.zeros([1, 32, 64, 9]))
    with pytest.raises(ValueError, match="num_sources must be at least 1, got 0"):
        PoseExpNet(0)
