"""Camera geometry of the warp: poses to matrices, pixels to points and back (paper section 3.2, equation 2).

Frames follow KITTI: x right, y down, z forward. Pixels are (x, y) with (0, 0) at the centre of the top left one.
"""

from __future__ import annotations

import math

import tensorflow as tf


def euler2mat(angles_rad: tf.Tensor) -> tf.Tensor:
    """Rotation matrices Rx @ Ry @ Rz.

    Args:
        angles_rad: [..., 3] as (rx, ry, rz); each is clipped to [-pi, pi].

    Returns:
        [..., 3, 3].
    """
    # Parity: clipped, not wrapped, so beyond pi the gradient is zero (test_geometry.py::test_angles_are_clipped).
    angles_rad = tf.clip_by_value(angles_rad, -math.pi, math.pi)
    sin, cos = tf.unstack(tf.sin(angles_rad), axis=-1), tf.unstack(tf.cos(angles_rad), axis=-1)
    zero, one = tf.zeros_like(sin[0]), tf.ones_like(sin[0])

    def matrix(*entries: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.stack(entries, axis=-1), tf.concat([tf.shape(entries[0]), [3, 3]], axis=0))

    rot_x = matrix(one, zero, zero, zero, cos[0], -sin[0], zero, sin[0], cos[0])
    rot_y = matrix(cos[1], zero, sin[1], zero, one, zero, -sin[1], zero, cos[1])
    rot_z = matrix(cos[2], -sin[2], zero, sin[2], cos[2], zero, zero, zero, one)
    return rot_x @ rot_y @ rot_z


def pose_vec2mat(pose: tf.Tensor) -> tf.Tensor:
    """Rigid transforms from 6-vectors.

    Args:
        pose: [..., 6] as (tx, ty, tz, rx, ry, rz); translation in the unit of depth, angles in radians.

    Returns:
        [..., 4, 4].
    """
    upper = tf.concat([euler2mat(pose[..., 3:]), pose[..., :3, tf.newaxis]], axis=-1)
    bottom = tf.broadcast_to(tf.constant([[0, 0, 0, 1]], pose.dtype), tf.concat([tf.shape(pose)[:-1], [1, 4]], axis=0))
    return tf.concat([upper, bottom], axis=-2)


def meshgrid(height: int, width: int, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Homogeneous pixel coordinates [3, H*W] as rows x, y, 1, in row-major order of the image."""
    x, y = tf.meshgrid(tf.range(width), tf.range(height))
    return tf.cast(tf.stack([tf.reshape(x, [-1]), tf.reshape(y, [-1]), tf.ones([height * width], x.dtype)]), dtype)


def scale_intrinsics(intrinsics: tf.Tensor, scale_x: float, scale_y: float) -> tf.Tensor:
    """Intrinsics [..., 3, 3] of an image resized by `scale_x` and `scale_y`: fx, cx and fy, cy are multiplied."""
    # Parity: the release scales the principal point without the half pixel that area resizing shifts it by.
    return intrinsics * tf.constant([[scale_x] * 3, [scale_y] * 3, [1.0] * 3], intrinsics.dtype)


def pixel2cam(depth: tf.Tensor, intrinsics: tf.Tensor) -> tf.Tensor:
    """Lifts every pixel to its 3-D point.

    Args:
        depth: [B, H, W], camera z.
        intrinsics: [B, 3, 3] at this image size, pixels.

    Returns:
        [B, 3, H*W], in the unit of depth.
    """
    batch, height, width = depth.shape
    rays = tf.linalg.inv(intrinsics) @ meshgrid(height, width, depth.dtype)
    return rays * tf.reshape(depth, [-1 if batch is None else batch, 1, height * width])


def cam2pixel(points: tf.Tensor, projection: tf.Tensor) -> tf.Tensor:
    """Projects 3-D points.

    Args:
        points: [B, 3, P] in the frame of the target camera.
        projection: [B, 3, 4], intrinsics times `src_T_tgt`.

    Returns:
        [B, 2, P], rows x and y, pixels of the source image; infinite where z is 0.
    """
    xy, z = tf.split(projection[:, :, :3] @ points + projection[:, :, 3:], [2, 1], axis=1)
    # Parity: a plain division by z, so that a point behind the camera projects mirrored instead of being dropped
    # (test_sampler.py::test_points_behind_the_camera_follow_the_release).
    z += 1e-10
    return tf.where(z == 0, tf.constant(math.inf, z.dtype), xy / tf.where(z == 0, tf.ones_like(z), z))
