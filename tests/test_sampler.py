"""The sampler and the warp, against hand cases, an independent NumPy version, finite differences and tfa."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sfmlearner_tf import bilinear_sampler, projective_inverse_warp, sampler


def _has_addons() -> bool:
    try:
        sampler.load_addons_kernel()
    except ImportError:
        return False
    return True


needs_addons = pytest.mark.skipif(not _has_addons(), reason="tensorflow-addons does not exist for this TensorFlow")
both_kernels = pytest.mark.parametrize("kernel", ["native", pytest.param("addons", marks=needs_addons)])


def numpy_sampler(image, coords):
    """Point by point: [H, W, C] at [..., 2]."""
    height, width, channels = image.shape
    samples = np.zeros((*coords.shape[:-1], channels), image.dtype)
    for position in np.ndindex(coords.shape[:-1]):
        x, y = coords[position]
        if not (0 <= x < width - 1 and 0 <= y < height - 1):
            continue
        left, top = int(np.floor(x)), int(np.floor(y))
        for dy in (0, 1):
            for dx in (0, 1):
                weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
                samples[position] += weight * image[top + dy, left + dx]
    return samples


def sample_one(image, coords, kernel="native"):
    return bilinear_sampler(image[np.newaxis], coords[np.newaxis], kernel)[0].numpy()


@both_kernels
def test_by_hand(kernel):
    image = np.float32([[[0], [10]], [[20], [30]], [[5], [5]]])
    coords = np.float32([[[0.5, 0.5], [0, 0], [0.25, 0]]])
    np.testing.assert_allclose(sample_one(image, coords, kernel)[..., 0], [[15, 0, 2.5]])


@both_kernels
def test_border(kernel):
    image = np.random.RandomState(0).uniform(1, 2, (4, 5, 2)).astype(np.float32)
    identity = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).astype(np.float32)
    samples = sample_one(image, identity, kernel)
    np.testing.assert_allclose(samples[:3, :4], image[:3, :4], rtol=1e-6)
    assert not samples[3].any()
    assert not samples[:, 4].any()


@both_kernels
def test_outside_is_zero_without_gradient(kernel):
    image = tf.constant(np.random.RandomState(0).uniform(1, 2, (1, 4, 5, 3)).astype(np.float32))
    big = np.finfo(np.float32).max
    outside = [(-1e-3, 1), (1, -0.5), (4, 1), (1, 3), (1e9, 1), (-1e30, 1), (big, -big)]
    outside += [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, -np.inf), (np.nan, np.inf)]
    coords = tf.constant(np.float32(outside)[None, None])
    with tf.GradientTape() as tape:
        tape.watch([image, coords])
        samples = bilinear_sampler(image, coords, kernel)
        loss = tf.reduce_sum(samples)
    assert not samples.numpy().any()
    for gradient in tape.gradient(loss, [image, coords]):
        assert not np.asarray(gradient).any()


@both_kernels
@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 3)),
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([1.0, 3.0, 100.0]),
    whole=st.booleans(),
)
def test_equals_numpy_everywhere(kernel, size, seed, spread, whole):
    random = np.random.RandomState(seed)
    image = random.normal(size=size).astype(np.float32)
    coords = random.normal(scale=spread, size=(3, 4, 2)).astype(np.float32) + np.float32(2)
    coords = np.round(coords) if whole else coords
    np.testing.assert_allclose(sample_one(image, coords, kernel), numpy_sampler(image, coords), atol=1e-5)


def test_gradient_equals_finite_differences():
    random = np.random.RandomState(0)
    images = tf.constant(random.normal(size=(2, 5, 6, 2)))
    whole = np.stack([random.randint(-1, 6, (2, 3, 4)), random.randint(-1, 5, (2, 3, 4))], axis=-1)
    coords = tf.constant(whole + random.uniform(0.1, 0.9, (2, 3, 4, 2)))
    analytic, numeric = tf.test.compute_gradient(bilinear_sampler, [images, coords])
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@needs_addons
def test_kernels_agree_in_value_and_gradient():
    random = np.random.RandomState(0)
    images = tf.constant(random.normal(size=(2, 9, 11, 3)).astype(np.float32))
    coords = tf.constant(random.uniform(-2, 12, (2, 20, 30, 2)).astype(np.float32))
    results = []
    for kernel in sampler.KERNELS:
        with tf.GradientTape() as tape:
            tape.watch([images, coords])
            samples = bilinear_sampler(images, coords, kernel)
            loss = tf.reduce_sum(samples**2)
        results.append([samples, *tape.gradient(loss, [images, coords])])
    for native, addons in zip(*results):
        np.testing.assert_allclose(native, addons, atol=2e-5)


def numpy_warp(image, depth, pose, intrinsics):
    """Pixel by pixel, with SciPy's rotations."""
    height, width = depth.shape
    rotation = Rotation.from_euler("XYZ", pose[3:]).as_matrix()
    coords = np.empty((height, width, 2))
    for y, x in np.ndindex(height, width):
        point = rotation @ (depth[y, x] * np.linalg.solve(intrinsics, [x, y, 1])) + pose[:3]
        projected = intrinsics @ point
        coords[y, x] = projected[:2] / projected[2]
    return numpy_sampler(image, coords)


@pytest.mark.parametrize("translation", [(0.3, -0.1, 0.5), (0.0, 0.0, -8.0)], ids=["before", "some points behind"])
def test_warp_equals_numpy(translation):
    random = np.random.RandomState(0)
    image = random.uniform(-1, 1, (2, 8, 10, 3))
    depth = random.uniform(2, 20, (2, 8, 10))
    pose = np.tile([*translation, 0.05, -0.03, 0.1], (2, 1))
    intrinsics = np.tile([[9.0, 0, 4.7], [0, 8.0, 3.9], [0, 0, 1]], (2, 1, 1))
    warped = projective_inverse_warp(image, depth, pose, intrinsics)
    for i in range(2):
        np.testing.assert_allclose(warped[i], numpy_warp(image[i], depth[i], pose[i], intrinsics[i]), atol=1e-9)


def test_points_behind_the_camera_follow_the_release():
    image = tf.constant(np.arange(12.0).reshape(1, 3, 4, 1))
    intrinsics = tf.constant([[[1.0, 0, 2], [0, 1, 1], [0, 0, 1]]], tf.float64)
    depth = np.ones((1, 3, 4))
    pose = tf.constant([[1.0, 0.5, -3, 0, 0, 0]], tf.float64)
    warped = projective_inverse_warp(image, tf.constant(depth), pose, intrinsics)
    # Pixel (3, 1) is the point (1, 0, 1); moved it is (2, 0.5, -2) and lands at (2 - 1, 1 - 0.25).
    np.testing.assert_allclose(warped[0, 1, 3, 0], 0.25 * 1 + 0.75 * 5)


def test_warp_gradient_equals_finite_differences():
    random = np.random.RandomState(3)
    image = tf.constant(random.uniform(-1, 1, (1, 6, 8, 2)))
    depth = tf.constant(random.uniform(4, 9, (1, 6, 8)))
    pose = tf.constant([[0.31, -0.17, 0.23, 0.02, -0.03, 0.05]], tf.float64)
    intrinsics = tf.constant([[[7.0, 0, 3.6], [0, 6.5, 2.7], [0, 0, 1]]], tf.float64)
    analytic, numeric = tf.test.compute_gradient(
        lambda depth, pose: projective_inverse_warp(image, depth, pose, intrinsics), [depth, pose], delta=1e-6
    )
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"coords \[B, Ht, Wt, 2\], got"):
        bilinear_sampler(tf.zeros([1, 4, 4, 3]), tf.zeros([1, 4, 4, 3]))
    with pytest.raises(ValueError, match="kernel must be one of native, addons, got 'fast'"):
        bilinear_sampler(tf.zeros([1, 4, 4, 3]), tf.zeros([1, 4, 4, 2]), "fast")
    with pytest.raises(ValueError, match=r"pose \[B, 6\].*\(1, 7\)"):
        projective_inverse_warp(tf.zeros([1, 4, 4, 3]), tf.ones([1, 4, 4]), tf.zeros([1, 7]), tf.eye(3)[None])
