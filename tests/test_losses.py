import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import uniform_filter

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


def test_edge_aware_smoothness_by_hand():
    disparity = tf.constant([[[[0.0], [1], [4]]] * 3])
    flat = tf.zeros([1, 3, 3, 3])
    np.testing.assert_allclose(losses.smoothness_loss(disparity, flat), (1 + 3) / 2)
    # From black to white between the second column and the third: there the slope of 3 counts 1/e.
    edge = tf.constant([[[[-1.0] * 3, [-1] * 3, [1] * 3]] * 3])
    np.testing.assert_allclose(losses.smoothness_loss(disparity, edge), (1 + 3 / np.e) / 2, rtol=1e-6)


def test_edge_aware_smoothness_equals_numpy():
    random = np.random.RandomState(1)
    disparity, image = random.uniform(size=(2, 5, 7, 1)), random.uniform(-1, 1, (2, 5, 7, 3))
    expected = 0.0
    for axis in (1, 2):
        edge = np.abs(np.diff(image / 2, axis=axis)).mean(-1)
        expected += (np.abs(np.diff(disparity[..., 0], axis=axis)) * np.exp(-edge)).mean()
    np.testing.assert_allclose(losses.smoothness_loss(tf.constant(disparity), tf.constant(image)), expected)


def test_normalized_disparity_has_no_scale():
    disparity = np.random.RandomState(0).uniform(0.1, 1, (2, 4, 5, 1))
    normalized = losses.normalize_disparity(tf.constant(disparity))
    np.testing.assert_allclose(np.mean(normalized, axis=(1, 2, 3)), 1)
    np.testing.assert_allclose(losses.normalize_disparity(tf.constant(7 * disparity)), normalized)


def test_structural_similarity_equals_numpy():
    random = np.random.RandomState(2)
    first = random.uniform(-1, 1, (2, 6, 8, 3))
    second = np.clip(first + random.normal(0, 0.3, first.shape), -1, 1)
    x, y = (first + 1) / 2, (second + 1) / 2

    def mean(values):
        return uniform_filter(values, (1, 3, 3, 1), mode="mirror")

    mu_x, mu_y = mean(x), mean(y)
    variance_x, variance_y = mean(x**2) - mu_x**2, mean(y**2) - mu_y**2
    covariance = mean(x * y) - mu_x * mu_y
    expected = (2 * mu_x * mu_y + 1e-4) * (2 * covariance + 9e-4)
    expected /= (mu_x**2 + mu_y**2 + 1e-4) * (variance_x + variance_y + 9e-4)
    found = losses.structural_similarity(tf.constant(first), tf.constant(second))
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(losses.structural_similarity(tf.constant(first), tf.constant(first)), 1)


def test_photometric_error_mixes_difference_and_similarity():
    first, second = tf.random.stateless_uniform([2, 1, 4, 5, 3], [0, 1], -1.0)
    difference = tf.abs(first - second)
    dissimilarity = 1 - losses.structural_similarity(first, second)
    np.testing.assert_array_equal(losses.photometric_error(first, second), difference)
    np.testing.assert_allclose(losses.photometric_error(first, second, 1.0), dissimilarity, rtol=1e-6)
    mixed = losses.photometric_error(first, second, 0.85)
    np.testing.assert_allclose(mixed, 0.15 * difference + 0.85 * dissimilarity, rtol=1e-5)


def test_explainability_equals_the_softmax_over_pairs():
    logits = np.random.RandomState(0).normal(size=(2, 3, 4, 6))
    pairs = np.exp(logits).reshape(2, 3, 4, 3, 2)
    expected = pairs[..., 1] / pairs.sum(-1)
    np.testing.assert_allclose(losses.explainability(tf.constant(logits)), expected)
    cross_entropy = -np.log(expected).mean(axis=(0, 1, 2)).sum()
    np.testing.assert_allclose(losses.explainability_loss(tf.constant(logits)), cross_entropy)
    focal = -((1 - expected) ** 2 * np.log(expected)).mean(axis=(0, 1, 2)).sum()
    np.testing.assert_allclose(losses.explainability_loss(tf.constant(logits), "focal"), focal)


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


def objective(disparity, pose, logits=None, anchors=(), **options):
    """Of one small example whose sources differ from the target, at as many scales as there are disparities."""
    random = np.random.RandomState(0)
    target = tf.constant(random.uniform(-1, 1, (1, 8, 12, 3)), disparity[0].dtype)
    sources = tf.constant(random.uniform(-1, 1, (1, 8, 12, 6)), disparity[0].dtype)
    intrinsics = tf.constant([[[10.0, 0, 5.7], [0, 9, 4.1], [0, 0, 1]]], disparity[0].dtype)
    config = TrainConfig(**options)
    return losses.compute_objective(config, target, sources, intrinsics, disparity, pose, logits or (), anchors)


def test_masks_weigh_the_photometric_error():
    disparity = [tf.fill([1, 8, 12, 1], 0.5)]
    pose = tf.constant([[[0.1, 0, 0, 0, 0, 0], [-0.1, 0, 0, 0, 0, 0]]])
    full = objective(disparity, pose)
    half = objective(disparity, pose, [tf.zeros([1, 8, 12, 4])], explain_reg_weight=0.2)
    np.testing.assert_allclose(half.pixel, full.pixel / 2, rtol=1e-6)
    np.testing.assert_allclose(half.explain, 0.2 * 2 * np.log(2), rtol=1e-6)
    assert full.explain == 0


def test_what_is_out_of_view_can_be_left_out():
    disparity = [tf.fill([1, 8, 12, 1], 1.0)]
    # Without rotation a translation of 0.2 shifts pixels by 0.2 * fx = 2: of 12 columns the last 2 and the one that
    # samples the border fall outside one source, the first 2 and again the last one outside the other.
    pose = tf.constant([[[0.2, 0, 0, 0, 0, 0], [-0.2, 0, 0, 0, 0, 0]]])
    kept, masked = (objective(disparity, pose, mask_out_of_view=mask) for mask in (False, True))
    target = np.random.RandomState(0).uniform(-1, 1, (1, 8, 12, 3)).astype(np.float32)
    inside = np.zeros((2, 8, 12), bool)
    inside[0, :7, :9], inside[1, :7, 2:11] = True, True
    # The sampled coordinates are whole but for rounding, so a column at the border may fall to either side.
    np.testing.assert_allclose(kept.in_view, inside.mean(), atol=2 * 7 / inside.size)
    projected = np.split(kept.projected[0].numpy(), 2, axis=-1)
    seen = [np.abs(image).max(-1) > 0 for image in projected]
    errors = [np.abs(image - target) for image in projected]
    expected = 2 * sum(error[view].sum() for error, view in zip(errors, seen)) / (3 * sum(view.sum() for view in seen))
    np.testing.assert_allclose(masked.pixel, expected, rtol=1e-5)


def test_scales_are_halved_in_weight_and_can_be_left_out():
    disparity = [tf.random.stateless_uniform([1, h, w, 1], [0, h]) for h, w in ((8, 12), (4, 6))]
    pose = tf.zeros([1, 2, 6])
    one, two = (objective(disparity, pose, num_scales=n) for n in (1, 2))
    expected = 0.5 * losses.smoothness_loss(disparity[0]) + 0.25 * losses.smoothness_loss(disparity[1])
    np.testing.assert_allclose(two.smooth, expected, rtol=1e-6)
    assert (len(one.projected), len(two.projected)) == (1, 2)
    assert two.pixel > one.pixel


def test_anchors_hold_log_disparity():
    fine, coarse = tf.constant([1.0, 2, 4, 8], shape=[1, 2, 2, 1]), tf.constant([3.0], shape=[1, 1, 1, 1])
    anchors = [tf.ones_like(fine), tf.constant([6.0], shape=[1, 1, 1, 1])]
    # Factors 1, 2, 4 and 8 at the finer scale, 1/2 at the coarser one.
    np.testing.assert_allclose(losses.anchor_loss([fine, coarse], anchors), (0 + 1 + 2 + 3) / 4 * np.log(2) + np.log(2))


def test_anchors_count_by_their_weight():
    disparity, pose = [tf.fill([1, 8, 12, 1], 0.5)], tf.zeros([1, 2, 6])
    free = objective(disparity, pose).losses()
    options = {"anchor_weight": 0.1, "anchor_checkpoint_file": "model.latest"}
    held = objective(disparity, pose, anchors=[tf.fill([1, 8, 12, 1], 1.0)], **options).losses()
    assert "anchor" not in free
    np.testing.assert_allclose(held["anchor"], 0.1 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(held["total"], free["total"] + held["anchor"], rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "ssim_weight": 0.85,
            "mask_out_of_view": True,
            "smoothness": "edge_aware",
            "smooth_normalized": True,
            "explain_reg": "focal",
            "anchor_weight": 0.1,
            "anchor_checkpoint_file": "model.latest",
        },
    ],
    ids=["release", "beyond"],
)
def test_gradient_equals_finite_differences(options):
    random = np.random.RandomState(4)
    disparity = tf.constant(random.uniform(0.2, 0.4, (1, 8, 12, 1)))
    pose = tf.constant(random.uniform(-0.2, 0.2, (1, 2, 6)))
    logits = tf.constant(random.normal(size=(1, 8, 12, 4)))
    anchors = [tf.constant(random.uniform(0.2, 0.4, (1, 8, 12, 1)))] if "anchor_weight" in options else ()

    @tf.function
    def total(disparity, pose, logits):
        weights = {"explain_reg_weight": 0.2, "smooth_weight": 0.3}
        return objective([disparity], pose, [logits], anchors, **weights, **options).losses()["total"]

    analytic, numeric = tf.test.compute_gradient(total, [disparity, pose, logits], delta=1e-7)
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
