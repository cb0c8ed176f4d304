"""The terms of the objective against cases by hand, NumPy and finite differences; parity/ has the release's numbers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import uniform_filter
from scipy.spatial.transform import Rotation

from sfmlearner_tf import Batch, TrainConfig
from sfmlearner_tf.losses import constant_depth, explainability, photometric, smoothness
from sfmlearner_tf.losses.objective import make_terms
from sfmlearner_tf.losses.term import Mean, Term, add_up, compute_means
from sfmlearner_tf.losses.view import make_views
from sfmlearner_tf.networks.motion import Motion


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
    found = photometric.structural_similarity(tf.constant(first), tf.constant(second))
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(photometric.structural_similarity(tf.constant(first), tf.constant(first)), 1)


def test_photometric_error_mixes_difference_and_similarity():
    first, second = tf.random.stateless_uniform([2, 1, 4, 5, 3], [0, 1], -1.0)
    difference = tf.abs(first - second)
    dissimilarity = 1 - photometric.structural_similarity(first, second)
    np.testing.assert_array_equal(photometric.photometric_error(first, second), difference)
    np.testing.assert_allclose(photometric.photometric_error(first, second, 1.0), dissimilarity, rtol=1e-6)
    mixed = photometric.photometric_error(first, second, 0.85)
    np.testing.assert_allclose(mixed, 0.15 * difference + 0.85 * dissimilarity, rtol=1e-5)


def test_explainability_equals_the_softmax_over_pairs():
    logits = np.random.RandomState(0).normal(size=(2, 3, 4, 6))
    pairs = np.exp(logits).reshape(2, 3, 4, 3, 2)
    expected = pairs[..., 1] / pairs.sum(-1)
    np.testing.assert_allclose(explainability.explainability(tf.constant(logits)), expected)
    np.testing.assert_allclose(explainability.distance_from_one(tf.constant(logits)), -np.log(expected))
    focal = -((1 - expected) ** 2) * np.log(expected)
    np.testing.assert_allclose(explainability.distance_from_one(tf.constant(logits), focal=True), focal)


def views_of(disparity, pose, logits=(), anchors=()):
    """Of one small example whose sources differ from the target, at as many scales as there are disparities."""
    random = np.random.RandomState(0)
    target = tf.constant(random.uniform(-1, 1, (1, 8, 12, 3)), disparity[0].dtype)
    sources = tf.constant(random.uniform(-1, 1, (1, 8, 12, 6)), disparity[0].dtype)
    intrinsics = tf.constant([[[10.0, 0, 5.7], [0, 9, 4.1], [0, 0, 1]]], disparity[0].dtype)
    return make_views(Batch(target, sources, intrinsics), disparity, Motion(pose, tuple(logits)), anchors)


def losses_of(views, **options):
    return add_up(compute_means(make_terms(TrainConfig(**options)), views))


def test_masks_weigh_the_photometric_error():
    disparity = [tf.fill([1, 8, 12, 1], 0.5)]
    pose = tf.constant([[[0.1, 0, 0, 0, 0, 0], [-0.1, 0, 0, 0, 0, 0]]])
    full = losses_of(views_of(disparity, pose))
    # Masks of 1/2 for the first source and 1/4 for the second.
    logits = tf.tile(tf.constant([0.0, 0.0, np.log(3), 0.0], tf.float32)[None, None, None], [1, 8, 12, 1])
    (view,) = views_of(disparity, pose, [logits])
    masked = losses_of([view], explain_reg_weight=0.2)
    errors = np.abs(view.warped - np.tile(view.target, (2, 1, 1, 1))).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(full["pixel"], errors.sum(), rtol=1e-6)
    np.testing.assert_allclose(masked["pixel"], errors @ [0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(masked["explain"], 0.2 * (np.log(2) + np.log(4)), rtol=1e-6)
    assert full["explain"] == 0


def test_what_is_out_of_view_can_be_left_out():
    disparity = [tf.fill([1, 8, 12, 1], 1.0)]
    # Without rotation a translation of 0.2 shifts pixels by 0.2 * fx = 2: of 12 columns the last 2 and the one that
    # samples the border fall outside one source, the first 2 and again the last one outside the other.
    pose = tf.constant([[[0.2, 0, 0, 0, 0, 0], [-0.2, 0, 0, 0, 0, 0]]])
    (view,) = views_of(disparity, pose)
    inside = np.zeros((2, 8, 12), bool)
    inside[0, :7, :9], inside[1, :7, 2:11] = True, True
    # The sampled coordinates are whole but for rounding, so a column at the border may fall to either side.
    np.testing.assert_allclose(np.mean(view.in_view), inside.mean(), atol=2 * 7 / inside.size)
    seen = view.in_view.numpy()[..., 0] > 0
    np.testing.assert_array_equal(np.abs(view.warped).max(-1) > 0, seen)
    errors = np.abs(view.warped - np.tile(view.target, (2, 1, 1, 1)))
    expected = 2 * errors[seen].sum() / (3 * seen.sum())
    np.testing.assert_allclose(losses_of([view], mask_out_of_view=True)["pixel"], expected, rtol=1e-5)


def test_scales_are_halved_in_weight():
    disparity = [tf.random.stateless_uniform([1, h, w, 1], [0, h]) for h, w in ((8, 12), (4, 6))]
    one, two = (losses_of(views_of(disparity[:n], tf.zeros([1, 2, 6]))) for n in (1, 2))
    fine, coarse = (sum(np.mean(part) for part in smoothness.roughness(scale)) for scale in disparity)
    np.testing.assert_allclose(two["smooth"], 0.5 * fine + 0.25 * coarse, rtol=1e-6)
    assert two["pixel"] > one["pixel"]


def test_anchors_hold_log_disparity():
    disparity = [tf.constant([1.0, 2, 4, 8] * 24, shape=[1, 8, 12, 1]), tf.fill([1, 4, 6, 1], 3.0)]
    anchors = [tf.ones_like(disparity[0]), tf.fill([1, 4, 6, 1], 6.0)]
    views = views_of(disparity, tf.zeros([1, 2, 6]), anchors=anchors)
    free = losses_of(views)
    held = losses_of(views, anchor_weight=0.1, anchor_checkpoint_file="model.latest")
    # Factors 1, 2, 4 and 8 at the finer scale, 1/2 at the coarser one.
    np.testing.assert_allclose(held["anchor"], 0.1 * ((0 + 1 + 2 + 3) / 4 + 1) * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(held["total"], free["total"] + held["anchor"], rtol=1e-6)
    assert "anchor" not in free


def test_constant_depth_by_hand_and_in_numpy():
    random = np.random.RandomState(6)
    # Depths of 1 and 3: over their mean 0.5 and 1.5, of variance 1/4.
    depth = np.array([1.0, 3.0] * 48).reshape(1, 8, 12, 1)
    coarse = random.uniform(2, 9, (1, 4, 6, 1))
    views = views_of([tf.constant(1 / depth), tf.constant(1 / coarse)], tf.zeros([1, 2, 6], tf.float64))
    expected = 0.1 * (4 + 1 / np.var(coarse / coarse.mean()))
    np.testing.assert_allclose(losses_of(views, constant_depth_weight=0.1)["constant_depth"], expected, rtol=1e-6)
    # Of two images each counts by itself, and constant depth is worst, but finite.
    batch = tf.constant(np.concatenate([1 / depth, np.ones_like(depth)]))
    (view,) = views_of([tf.constant(1 / depth)], tf.zeros([1, 2, 6], tf.float64))
    found = constant_depth.constant_depth_loss([dataclasses.replace(view, disparity=batch)])[0].value()
    np.testing.assert_allclose(found, (4 + 1e9) / 2, rtol=1e-6)


def test_z_and_sampling_are_those_of_the_warp():
    disparity = [tf.fill([1, 8, 12, 1], 0.25)]
    # Straight ahead by 1 towards the first source: there the points at depth 4 are at 3.
    pose = tf.constant([[[0.0, 0, -1, 0, 0, 0], [0, 0, 0.5, 0, 0, 0]]])
    (view,) = views_of(disparity, pose)
    np.testing.assert_allclose(view.z[0], 3, rtol=1e-6)
    np.testing.assert_allclose(view.z[1], 4.5, rtol=1e-6)
    # Sampling the coordinates of the sources' own pixels gives where the target's pixels fall.
    grid = tf.stack(tf.meshgrid(tf.range(12.0), tf.range(8.0)), axis=-1)
    found = view.sample(tf.tile(grid[None], [2, 1, 1, 1]))
    expected = tf.stack([view.x, view.y], axis=-1) * view.in_view
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0.3 < np.mean(view.in_view) < 1


def test_each_example_meets_its_own_sources_camera_and_motion_at_every_size():
    """Two examples of two sources, halved in height alone, so that neither sides nor examples can be confused."""
    random = np.random.RandomState(5)
    target, sources = random.uniform(-1, 1, (2, 8, 12, 3)), random.uniform(-1, 1, (2, 8, 12, 6))
    disparity, poses = random.uniform(0.2, 0.4, (2, 4, 12, 1)), random.uniform(-0.3, 0.3, (2, 2, 6))
    intrinsics = np.array([[[10.0, 0, 5.7], [0, 9, 4.1], [0, 0, 1]], [[13.0, 0, 6.2], [0, 7, 3.3], [0, 0, 1]]])
    logits = random.normal(size=(2, 4, 12, 4))
    batch = Batch(*map(tf.constant, (target, sources, intrinsics)))
    motion = Motion(tf.constant(poses), (tf.constant(logits),))
    (view,) = make_views(batch, [tf.constant(disparity)], motion)
    np.testing.assert_allclose(view.target, target.reshape(2, 4, 2, 12, 3).mean(2))
    halved = sources.reshape(2, 4, 2, 12, 6).mean(2)
    columns, rows = np.meshgrid(np.arange(12), np.arange(4))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    for example in range(2):
        camera = intrinsics[example] * [[1], [0.5], [1]]
        points = pixels @ np.linalg.inv(camera).T / disparity[example]
        for source in range(2):
            rotation = Rotation.from_euler("XYZ", poses[example, source, 3:]).as_matrix()
            projected = (points @ rotation.T + poses[example, source, :3]) @ camera.T
            place = 2 * source + example
            np.testing.assert_allclose(view.x[place], projected[..., 0] / projected[..., 2])
            np.testing.assert_allclose(view.y[place], projected[..., 1] / projected[..., 2])
            np.testing.assert_allclose(view.z[place], projected[..., 2:])
            np.testing.assert_allclose(view.sources[place], halved[example, ..., 3 * source : 3 * source + 3])
            np.testing.assert_array_equal(view.projected[example, ..., 3 * source : 3 * source + 3], view.warped[place])
    # The masks weigh the error of their own source and example.
    masks = 1 / (1 + np.exp(logits[..., ::2] - logits[..., 1::2]))
    errors = np.abs(np.reshape(view.warped, (2, 2, 4, 12, 3)) - view.target.numpy()).mean(-1)
    expected = np.mean(errors * np.moveaxis(masks, -1, 0), axis=(1, 2, 3)).sum()
    np.testing.assert_allclose(losses_of([view], explain_reg_weight=0.2)["pixel"], expected)


def test_a_term_may_give_a_scalar_or_maps():
    views = views_of([tf.fill([1, 8, 12, 1], 0.5), tf.fill([1, 4, 6, 1], 0.25)], tf.zeros([1, 2, 6]))
    terms = [
        Term("scalar", 2.0, lambda views: tf.reduce_sum(views[0].disparity)),
        Term("maps", 3.0, lambda views: [view.disparity for view in views]),
        Term("off", 0.0, lambda views: pytest.fail("a term of weight 0 is not computed")),
    ]
    losses = add_up(compute_means(terms, views))
    found = {name: float(value) for name, value in losses.items()}
    assert found == {"total": 98.25, "scalar": 96.0, "maps": 2.25, "off": 0.0}


def test_means_of_parts_of_a_batch_can_be_joined():
    """As over several replicas: totals and normalisers are added, then divided."""
    values, weights = np.random.RandomState(0).uniform(size=(2, 6)).astype(np.float32)
    parts = [Mean(tf.reduce_sum(values[s] * weights[s]), tf.reduce_sum(weights[s])) for s in (slice(2), slice(2, 6))]
    joined = Mean(*(sum(field) for field in zip(*parts)))
    np.testing.assert_allclose(joined.value(), np.average(values, weights=weights), rtol=1e-6)
    np.testing.assert_allclose(Mean(tf.constant(1.0), 0.01, 0.5).value(), 2)
    np.testing.assert_allclose(Mean(tf.constant(1.0), tf.constant(0.25)).value(), 4)

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def mean_of(values):
        return Mean.of(values).value()

    np.testing.assert_allclose(mean_of(tf.constant([[1.0, 2, 3], [4, 5, 9]])), 4)


def test_where_little_is_in_view_the_error_is_not_blown_up():
    """Below a share of 1/20 the mean is over that share."""
    disparity = [tf.fill([1, 8, 12, 1], 1.0)]
    # Of the last of 12 columns, which alone stays in view, seven rows do or three.
    for down, share in ((0.0, 7 / 96), (-0.5, 0.05)):
        (view,) = views_of(disparity, tf.constant([2 * [[-1.05, down, 0, 0, 0, 0]]]))
        errors = np.abs(view.warped - np.tile(view.target, (2, 1, 1, 1))) * view.in_view.numpy()
        expected = errors.mean(axis=(1, 2, 3)).sum() / share
        np.testing.assert_allclose(losses_of([view], mask_out_of_view=True)["pixel"], expected, rtol=1e-5)


def test_without_options_the_losses_are_the_release_s():
    disparity = tf.random.stateless_uniform([1, 8, 12, 1], [0, 8])
    views = views_of([disparity], tf.zeros([1, 2, 6]), [tf.random.stateless_normal([1, 8, 12, 4], [0, 8])])
    found = {
        "pixel": photometric.photometric_loss(views),
        "smooth": smoothness.smoothness_loss(views),
        "explain": explainability.explainability_loss(views),
    }
    expected = losses_of(views, smooth_weight=1.0, explain_reg_weight=1.0)
    for name, value in add_up(found).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "ssim_weight": 0.85,
            "mask_out_of_view": True,
            "smoothness": "edge_aware",
            "smooth_normalized": True,
            "mask_loss": "focal",
            "constant_depth_weight": 1e-3,
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
    # One for four pixels: they are most of what is varied.
    logits = tf.constant(random.normal(size=(1, 4, 6, 4)))
    anchors = [tf.constant(random.uniform(0.2, 0.4, (1, 8, 12, 1)))]

    @tf.function
    def total(disparity, pose, logits):
        weights = {"explain_reg_weight": 0.2, "smooth_weight": 0.3}
        full_logits = tf.repeat(tf.repeat(logits, 2, axis=1), 2, axis=2)
        return losses_of(views_of([disparity], pose, [full_logits], anchors), **weights, **options)["total"]

    analytic, numeric = tf.test.compute_gradient(total, [disparity, pose, logits], delta=1e-7)
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
