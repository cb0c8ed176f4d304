import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from sfmlearner_tf import geometry


def test_quarter_turn_about_z_takes_x_to_y():
    rotation = geometry.euler2mat(tf.constant([[0.0, 0.0, math.pi / 2]]))[0]
    np.testing.assert_allclose(rotation @ [[1.0], [0.0], [0.0]], [[0], [1], [0]], atol=1e-6)


@pytest.mark.parametrize("leading", [(20,), (4, 5), ()])
def test_rotation_is_rx_ry_rz(leading):
    angles = np.random.RandomState(0).uniform(-3, 3, (*leading, 3))
    expected = Rotation.from_euler("XYZ", angles.reshape(-1, 3)).as_matrix().reshape(*leading, 3, 3)  # Rx @ Ry @ Rz
    np.testing.assert_allclose(geometry.euler2mat(tf.constant(angles)), expected, atol=1e-12)


def test_angles_are_clipped():
    beyond = geometry.euler2mat(tf.constant([[4.0, -5.0, 100.0]], tf.float64))
    at_limit = geometry.euler2mat(tf.constant([[math.pi, -math.pi, math.pi]], tf.float64))
    np.testing.assert_allclose(beyond, at_limit)


def test_pose_vec2mat_keeps_leading_dimensions():
    matrices = geometry.pose_vec2mat(tf.constant(np.arange(12.0).reshape(2, 1, 6) / 10)).numpy()
    assert matrices.shape == (2, 1, 4, 4)
    np.testing.assert_allclose(matrices[1, 0, :3, 3], [0.6, 0.7, 0.8])
    np.testing.assert_array_equal(matrices[1, 0, 3], [0, 0, 0, 1])


def test_scaled_intrinsics():
    intrinsics = tf.constant([[[240.0, 2, 200], [0, 250, 60], [0, 0, 1]]])
    expected = [[[60.0, 0.5, 50], [0, 125, 30], [0, 0, 1]]]
    np.testing.assert_allclose(geometry.scale_intrinsics(intrinsics, 0.25, 0.5), expected)


def test_pixel_to_camera_and_back():
    random = np.random.RandomState(0)
    depth = random.uniform(1, 50, (2, 5, 7))
    intrinsics = np.tile([[6.0, 0, 3.2], [0, 5.5, 2.1], [0, 0, 1]], (2, 1, 1))
    points = geometry.pixel2cam(tf.constant(depth), tf.constant(intrinsics)).numpy()
    # By hand, for pixel x=4, y=3 of the second image.
    z = depth[1, 3, 4]
    np.testing.assert_allclose(points[1, :, 3 * 7 + 4], [(4 - 3.2) / 6 * z, (3 - 2.1) / 5.5 * z, z])
    projection = np.concatenate([intrinsics, np.zeros((2, 3, 1))], axis=2)
    xy, z = geometry.cam2pixel(points, tf.constant(projection))
    np.testing.assert_allclose(z[:, 0], depth.reshape(2, -1))
    x, y = xy[1].numpy()
    np.testing.assert_allclose(x.reshape(5, 7), np.tile(np.arange(7), (5, 1)), atol=1e-9)
    np.testing.assert_allclose(y.reshape(5, 7), np.tile(np.arange(5)[:, None], (1, 7)), atol=1e-9)


def test_point_in_the_plane_of_the_camera_projects_to_infinity():
    point = tf.constant([[[1.0], [1.0], [-1e-10]]], tf.float64)
    projection = tf.eye(3, 4, batch_shape=[1], dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(point)
        xy, z = geometry.cam2pixel(point, projection)
        seen = tf.where(tf.math.is_inf(xy), tf.zeros_like(xy), xy)
    assert np.isinf(xy).all()
    np.testing.assert_array_equal(z, [[[-1e-10]]])
    np.testing.assert_array_equal(tape.gradient(seen, point), np.zeros((1, 3, 1)))  # not NaN


@pytest.mark.parametrize("z", [-1.0, 1.0, 2.0])
def test_points_are_divided_by_their_depth(z):
    point = tf.constant([[[3.0], [5.0], [z]]], tf.float64)
    xy, _ = geometry.cam2pixel(point, tf.eye(3, 4, batch_shape=[1], dtype=tf.float64))
    np.testing.assert_allclose(xy[0, :, 0], [3 / z, 5 / z])


def test_the_batch_may_be_of_any_size():
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 3]), tf.TensorSpec([None, 3, 3])])
    def lift(depth, intrinsics):
        return geometry.pixel2cam(depth, intrinsics)

    depth = np.random.RandomState(0).uniform(1, 9, (4, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(lift(depth, np.tile(np.eye(3, dtype=np.float32), (4, 1, 1)))[:, 2], depth.reshape(4, 6))


def random_transforms(seed):
    return geometry.Rigid3.from_vector(tf.constant(np.random.RandomState(seed).uniform(-1, 1, (4, 6))))


def test_rigid_transforms_compose_and_invert_as_matrices():
    a_T_b, b_T_c = random_transforms(0), random_transforms(1)
    a_T_c = a_T_b.compose(b_T_c)
    np.testing.assert_allclose(a_T_c.matrix(), a_T_b.matrix().numpy() @ b_T_c.matrix().numpy(), atol=1e-12)
    np.testing.assert_allclose(a_T_b.inverse().matrix(), np.linalg.inv(a_T_b.matrix()), atol=1e-12)
    points_c = np.random.RandomState(2).normal(size=(4, 3, 5))
    homogeneous = np.concatenate([points_c, np.ones((4, 1, 5))], axis=1)
    expected = (a_T_c.matrix().numpy() @ homogeneous)[:, :3]
    np.testing.assert_allclose(a_T_c.transform(tf.constant(points_c)), expected, atol=1e-12)


def test_rigid_transform_by_hand():
    # A quarter turn about z, then one step along x.
    b_T_a = geometry.Rigid3.from_vector(tf.constant([[1.0, 0, 0, 0, 0, math.pi / 2]]))
    np.testing.assert_allclose(b_T_a.transform(tf.constant([[[1.0], [0], [2]]]))[0, :, 0], [1, 1, 2], atol=1e-6)


def test_pixels_are_projected_into_the_source():
    intrinsics = np.array([[[6.0, 0, 3], [0, 5, 2], [0, 0, 1]]])
    src_T_tgt = geometry.Rigid3.from_vector(tf.constant([[0.5, 0, 1, 0, 0, 0]], tf.float64))
    xy, z = geometry.project_pixels(tf.fill([1, 4, 5], tf.constant(2.0, tf.float64)), src_T_tgt, intrinsics)
    # Pixel x=4, y=3 is the point ((4 - 3) / 6 * 2, (3 - 2) / 5 * 2, 2); moved it is at depth 3.
    point = np.array([2 / 6 + 0.5, 2 / 5, 3])
    np.testing.assert_allclose(z, 3)
    expected = [6 * point[0] / 3 + 3, 5 * point[1] / 3 + 2]
    np.testing.assert_allclose(xy[0, :, 3 * 5 + 4], expected)


@pytest.mark.parametrize(
    "function",
    [
        geometry.euler2mat,
        lambda pose: geometry.pose_vec2mat(tf.concat([pose, pose], -1)),
        lambda pose: geometry.Rigid3.from_vector(tf.concat([pose, pose], -1)).inverse().matrix(),
    ],
)
def test_gradients(function):
    angles = tf.constant(np.random.RandomState(1).uniform(-2, 2, (3, 3)))
    analytic, numeric = tf.test.compute_gradient(function, [angles])
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-6)
