"""How rough disparity is, against cases by hand and NumPy."""

import numpy as np
import tensorflow as tf

from sfmlearner_tf.losses import smoothness


def mean_of_parts(parts):
    """The sum of the means of the parts of a roughness."""
    return sum(np.mean(part) for part in parts)


def test_smoothness_by_hand():
    # Along x 0, 1, 4: one second difference, 2; along y nothing changes.
    disparity = tf.constant([[[[0.0], [1], [4]]] * 3])
    np.testing.assert_allclose(mean_of_parts(smoothness.roughness(disparity)), 2)


def test_smoothness_equals_numpy():
    disparity = np.random.RandomState(0).uniform(size=(2, 6, 9, 1))
    firsts = [np.diff(disparity, axis=axis) for axis in (1, 2)]
    expected = sum(np.abs(np.diff(first, axis=axis)).mean() for first in firsts for axis in (1, 2))
    np.testing.assert_allclose(mean_of_parts(smoothness.roughness(tf.constant(disparity))), expected)


def test_edge_aware_smoothness_by_hand():
    disparity = tf.constant([[[[0.0], [1], [4]]] * 3])
    flat = tf.zeros([1, 3, 3, 3])
    np.testing.assert_allclose(mean_of_parts(smoothness.edge_aware_roughness(disparity, flat)), (1 + 3) / 2)
    # From black to white between the second column and the third: there the slope of 3 counts 1/e.
    edge = tf.constant([[[[-1.0] * 3, [-1] * 3, [1] * 3]] * 3])
    found = mean_of_parts(smoothness.edge_aware_roughness(disparity, edge))
    np.testing.assert_allclose(found, (1 + 3 / np.e) / 2, rtol=1e-6)


def test_edge_aware_smoothness_equals_numpy():
    random = np.random.RandomState(1)
    disparity, image = random.uniform(size=(2, 5, 7, 1)), random.uniform(-1, 1, (2, 5, 7, 3))
    expected = 0.0
    for axis in (1, 2):
        edge = np.abs(np.diff(image / 2, axis=axis)).mean(-1)
        expected += (np.abs(np.diff(disparity[..., 0], axis=axis)) * np.exp(-edge)).mean()
    found = smoothness.edge_aware_roughness(tf.constant(disparity), tf.constant(image))
    np.testing.assert_allclose(mean_of_parts(found), expected)


def test_normalized_disparity_has_no_scale():
    disparity = np.random.RandomState(0).uniform(0.1, 1, (2, 4, 5, 1))
    normalized = smoothness.normalize_disparity(tf.constant(disparity))
    np.testing.assert_allclose(normalized, disparity / disparity.mean(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(smoothness.normalize_disparity(tf.constant(7 * disparity)), normalized)
