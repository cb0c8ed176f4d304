import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import TrainConfig, losses


def test_smoothness_by_hand():
    # Along x 0, 1, 4: one second difference, 2; along y nothing changes.
    disparity = tf.constant([[[[0.0], [1], [4]]] * 3])
    np.testing.assert_allclose(losses.smoothness_loss(disparity), 2)


def test_smoothness_equals_numpy():
    disparity = np.random.RandomState(0).uniform(size=(2, 6, 9, 1))
    firsts = [np.diff(disparity, axis=axis) for axis in (1, 2)]
    expected = sum(np.abs(np.diff(first, axis=axis)).mean() for first in firsts for axis in (1, 2))
    np.testing.assert_allclose(losses.smoothness_loss(tf.constant(disparity)), expected)


def test_explainability_equals_the_softmax_over_pairs():
    logits = np.random.RandomState(0).normal(size=(2, 3, 4, 6))
    pairs = np.exp(logits).reshape(2, 3, 4, 3, 2)
    expected = pairs[..., 1] / pairs.sum(-1)
    np.testing.assert_allclose(losses.explainability(tf.constant(logits)), expected)
    cross_entropy = -np.log(expected).mean(axis=(0, 1, 2)).sum()
    np.testing.assert_allclose(losses.explainability_loss(tf.constant(logits)), cross_entropy)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (4, 6), (5, 7), (6, 11), (3, 12)])
def test_resize_area_equals_tensorflow_s(height, width):
    images = tf.random.stateless_uniform([2, 8, 12, 3], [0, 0])
    expected = tf.image.resize(images, [height, width], tf.image.ResizeMethod.AREA)
    np.testing.assert_allclose(losses.resize_area(images, height, width), expected, atol=1e-6)


def test_stacked_sources_come_back():
    images = tf.random.stateless_uniform([2, 3, 4, 9], [0, 0])
    stacked = losses.stack_sources(images, 3)
    np.testing.assert_array_equal(stacked[2], images[0, ..., 3:6])  # source 1 of example 0
    np.testing.assert_array_equal(losses.unstack_sources(stacked, 3), images)


def objective(disparity, pose, logits=None, **options):
    """Of one small example whose sources differ from the target, at as many scales as there are disparities."""
    random = np.random.RandomState(0)
    target = tf.constant(random.uniform(-1, 1, (1, 8, 12, 3)), disparity[0].dtype)
    sources = tf.constant(random.uniform(-1, 1, (1, 8, 12, 6)), disparity[0].dtype)
    intrinsics = tf.constant([[[10.0, 0, 5.7], [0, 9, 4.1], [0, 0, 1]]], disparity[0].dtype)
    config = TrainConfig(**options)
    return losses.compute_objective(config, target, sources, intrinsics, disparity, pose, logits or ())


def test_masks_weigh_the_photometric_error():
    disparity = [tf.fill([1, 8, 12, 1], 0.5)]
    pose = tf.constant([[[0.1, 0, 0, 0, 0, 0], [-0.1, 0, 0, 0, 0, 0]]])
    full = objective(disparity, pose)
    half = objective(disparity, pose, [tf.zeros([1, 8, 12, 4])], explain_reg_weight=0.2)
    np.testing.assert_allclose(half.pixel, full.pixel / 2, rtol=1e-6)
    np.testing.assert_allclose(half.explain, 0.2 * 2 * np.log(2), rtol=1e-6)
    assert full.explain == 0


def test_scales_are_halved_in_weight_and_can_be_left_out():
    disparity = [tf.random.stateless_uniform([1, h, w, 1], [0, h]) for h, w in ((8, 12), (4, 6))]
    pose = tf.zeros([1, 2, 6])
    one, two = (objective(disparity, pose, num_scales=n) for n in (1, 2))
    expected = 0.5 * losses.smoothness_loss(disparity[0]) + 0.25 * losses.smoothness_loss(disparity[1])
    np.testing.assert_allclose(two.smooth, expected, rtol=1e-6)
    assert (len(one.projected), len(two.projected)) == (1, 2)
    assert two.pixel > one.pixel


def test_gradient_equals_finite_differences():
    random = np.random.RandomState(4)
    disparity = tf.constant(random.uniform(0.2, 0.4, (1, 8, 12, 1)))
    pose = tf.constant(random.uniform(-0.2, 0.2, (1, 2, 6)))
    logits = tf.constant(random.normal(size=(1, 8, 12, 4)))

    @tf.function
    def total(disparity, pose, logits):
        terms = objective([disparity], pose, [logits], explain_reg_weight=0.2, smooth_weight=0.3)
        return terms.pixel + terms.smooth + terms.explain

    analytic, numeric = tf.test.compute_gradient(total, [disparity, pose, logits], delta=1e-7)
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
