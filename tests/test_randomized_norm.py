"""Normalisation that is noisy in training: its figures, its noise, and DispNet with it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import DispNet, SfMLearner, TrainConfig
from sfmlearner_tf.networks.building import load_network
from sfmlearner_tf.networks.randomized_norm import RandomizedNorm

FEATURES = np.random.RandomState(0).normal(2, 3, (2, 5, 7, 4)).astype(np.float32)


def make_norm(step=None, seed=1):
    norm = RandomizedNorm(seed)
    norm.build(FEATURES.shape)
    if step is not None:
        norm.follow(tf.Variable(step, dtype=tf.int64, trainable=False))
    return norm


def test_each_image_and_channel_is_normalised():
    norm = make_norm()
    norm.gamma.assign([1, 2, 3, 4])
    norm.beta.assign([0, 0, -1, 5])
    mean, variance = FEATURES.mean(axis=(1, 2), keepdims=True), FEATURES.var(axis=(1, 2), keepdims=True)
    expected = (FEATURES - mean) / np.sqrt(variance + 1e-3) * [1, 2, 3, 4] + [0, 0, -1, 5]
    for training in (False, True):
        np.testing.assert_allclose(norm(FEATURES, training=training), expected, atol=1e-5)
    # With a step too, but not in use.
    noisy = make_norm(step=20_000)
    np.testing.assert_allclose(noisy(FEATURES), (expected - [0, 0, -1, 5]) / [1, 2, 3, 4], atol=1e-5)


def find_noise(step, seed):
    """The factors of mean and variance, [2, C], out of what two images of known statistics become."""
    norm = make_norm(step, seed)
    found = norm(FEATURES, training=True).numpy()
    variance = FEATURES.var(axis=(1, 2))
    factor = (FEATURES.std(axis=(1, 2)) / found.std(axis=(1, 2))) ** 2 - 1e-3
    mean = FEATURES.mean(axis=(1, 2))
    scale = np.sqrt(factor + 1e-3)
    return np.stack([(mean - found.mean(axis=(1, 2)) * scale) / mean, factor / variance])


def test_noise_grows_with_the_step_and_is_one_of_the_batch():
    sizes = []
    for step in (0, 5_000, 10_000, 90_000):
        noise = np.stack([find_noise(step, seed) for seed in range(100)])
        # The same for both images.
        np.testing.assert_allclose(noise[:, :, 0], noise[:, :, 1], rtol=0.02, atol=2e-3)
        sizes.append(np.std(noise[:, :, 0] - 1))
        assert np.abs(noise - 1).max() < 1.01
    # Cut off at two standard deviations, a normal number's is 0.88 of what it was.
    np.testing.assert_allclose(sizes, np.array([0, 0.125, 0.5, 0.5]) * 0.88, rtol=0.1, atol=1e-3)


def test_noise_follows_from_seed_and_step():
    first, again, other_seed = (make_norm(9_000, seed)(FEATURES, training=True) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other_seed).max() > 0.1
    assert np.abs(first - make_norm(9_001)(FEATURES, training=True)).max() > 0.1


def test_gradient_equals_finite_differences():
    norm = make_norm(10_000)
    weights = np.random.RandomState(1).normal(size=FEATURES.shape).astype(np.float32)
    features = tf.constant(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = tf.reduce_sum(weights * norm(features, training=True))
    gradient = tape.gradient(value, features).numpy()
    for place in ((0, 1, 2, 3), (1, 4, 6, 0), (1, 0, 0, 2)):
        step = np.zeros_like(FEATURES)
        step[place] = 0.05
        above, below = (np.sum(weights * norm(FEATURES + sign * step, training=True), dtype=float) for sign in (1, -1))
        np.testing.assert_allclose(gradient[place], (above - below) / 0.1, atol=5e-3)


def test_dispnet_with_it_trains_is_saved_and_found_again(tmp_path):
    config = TrainConfig(img_height=32, img_width=64, num_scales=1, depth_norm="randomized")
    learner = SfMLearner(config)
    names = [name for name in learner.disp_net.release_variables() if "/norm/" in name]
    # One after each of 14 convolutions of the encoder and of 14 of the decoder.
    assert len(names) == 2 * 28
    images = np.random.RandomState(0).randint(0, 256, (1, 32, 64, 9)).astype(np.uint8)
    camera = np.float32([[[40, 0, 32], [0, 40, 16], [0, 0, 1]]])
    learner.global_step.assign(10_000)
    before = learner.predict_depth(images[..., :3]).numpy()
    np.testing.assert_array_equal(learner.predict_depth(images[..., :3]), before)
    noisy = [learner.disp_net(images[..., :3] / 127.5 - 1, training=True)[0].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*noisy)
    assert np.abs(noisy[0] - 1 / before).max() > 1e-3
    learner.train_step(images[..., :3], images[..., 3:], camera)
    after = learner.predict_depth(images[..., :3]).numpy()
    assert np.abs(after - before).max() > 1e-6
    network = load_network(learner.save(str(tmp_path)), "depth")
    np.testing.assert_allclose(1 / network(images[..., :3] / 127.5 - 1)[0], after, rtol=1e-3)
    learner.disp_net.save(tmp_path / "depth.keras")
    loaded = keras.models.load_model(tmp_path / "depth.keras", custom_objects={"DispNet": DispNet})
    np.testing.assert_allclose(1 / loaded(images[..., :3] / 127.5 - 1)[0], after, rtol=1e-3)


def test_other_networks_have_their_own():
    with pytest.raises(ValueError, match="depth_network must be dispnet with depth_norm, got 'resnet18'"):
        TrainConfig(depth_norm="randomized", depth_network="resnet18")
