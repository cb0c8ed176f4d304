"""What the heads of the depth network stand for."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import DispNet, SfMLearner, TrainConfig, export, run_config
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.networks.building import load_network

CHOICES = ("disparity", "depth", "softplus")
IMAGES = tf.constant(np.random.RandomState(0).uniform(-1, 1, (1, 32, 64, 3)), tf.float32)


def with_bias(network, bias):
    """The network whose heads give what one number makes, everywhere."""
    network.build()
    for head in network.disparity_heads:
        head.kernel.assign(tf.zeros_like(head.kernel))
        head.bias.assign([bias])
    return network


@pytest.mark.parametrize("bias", [-3.0, 0.4, 5.0])
def test_depth_by_hand(bias):
    sigmoid = 1 / (1 + np.exp(-bias))
    expected = {
        "disparity": 1 / (10 * sigmoid + 0.01),
        "depth": 10 * sigmoid + 0.1,
        "softplus": np.log1p(np.exp(bias)) + 0.1,
    }
    for name in CHOICES:
        for disparity in with_bias(DispNet(parametrization=name), bias)(IMAGES):
            np.testing.assert_allclose(1 / disparity, expected[name], rtol=1e-5)


@pytest.mark.parametrize(("name", "disparity"), [*((name, 0.5) for name in CHOICES), ("softplus", 0.001)])
def test_the_first_disparity_is_the_one_that_is_asked_for(name, disparity):
    config = TrainConfig(depth_parametrization=name, initial_disp=disparity, min_disp=1e-4)
    network = DispNet.from_train_config(config)
    for head in network.disparity_heads:
        head.kernel.assign(tf.zeros_like(head.kernel))
    np.testing.assert_allclose(network(IMAGES)[0], disparity, rtol=1e-5)


def test_whoever_reads_the_checkpoint_reads_depth_alike(tmp_path):
    config = TrainConfig(depth_parametrization="softplus", img_height=32, img_width=64, num_scales=1)
    learner = SfMLearner(config)
    depth = learner.predict_depth(tf.zeros([1, 32, 64, 3], tf.uint8)).numpy()
    run_config.write(config, str(tmp_path))
    path = learner.save(str(tmp_path))
    (tmp_path / "config.json").unlink()  # as where only the checkpoint's files were copied
    network = load_network(path, "depth")
    with pytest.raises(UserError, match="was trained with depth_parametrization=softplus, expected disparity"):
        SfMLearner(replace(config, depth_parametrization="disparity")).restore_weights(path)
    np.testing.assert_allclose(1 / network(-tf.ones([1, 32, 64, 3]))[0], depth, rtol=1e-5)
    network.save(tmp_path / "depth.keras")
    again = keras.saving.load_model(tmp_path / "depth.keras")
    np.testing.assert_allclose(again(IMAGES)[0], network(IMAGES)[0], rtol=1e-6)
    export.export_saved_model(learner, str(tmp_path / "exported"))
    exported = tf.saved_model.load(str(tmp_path / "exported")).signatures["depth"]
    np.testing.assert_allclose(exported(images=tf.zeros([1, 32, 64, 3], tf.uint8))["depth"], depth, rtol=1e-4)
