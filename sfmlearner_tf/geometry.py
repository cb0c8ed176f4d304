"""Camera geometry of the warp: poses to matrices, pixels to points and back (paper section 3.2, equation 2).

Frames follow KITTI: x right, y down, z forward. Pixels are (x, y) with (0, 0) at the centre of the top left one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf


def euler2mat(angles_rad: tf.Tensor) -> tf.Tensor:
    """Rotation matrices Rx @ Ry @ Rz.

    Args:
        angles_rad: [..., 3] as (rx, ry, rz); each is clipped to [-pi, pi].

    Returns:
        [..., 3, 3].

    Examples:
        A quarter turn about y takes what is ahead to the right:

        >>> turned = euler2mat(tf.constant([0.0, math.pi / 2, 0.0])) @ [[0.0], [0.0], [1.0]]
        >>> (turned.numpy().ravel().round(3) + 0).tolist()
        [1.0, 0.0, 0.0]
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


class Rigid3(NamedTuple):
    """Rigid transforms, named after both frames and read right to left: points_src = src_T_tgt.transform(points_tgt).

    rotation: [..., 3, 3]. translation: [..., 3], in the unit of depth.
    """

    rotation: tf.Tensor
    translation: tf.Tensor

    @classmethod
    def from_vector(cls, pose: tf.Tensor) -> Rigid3:
        """From 6-vectors [..., 6] as (tx, ty, tz, rx, ry, rz), angles in radians."""
        return cls(euler2mat(pose[..., 3:]), pose[..., :3])

    def compose(self, other: Rigid3) -> Rigid3:
        """a_T_c = a_T_b.compose(b_T_c)."""
        return Rigid3(self.rotation @ other.rotation, _rotate(self.rotation, other.translation) + self.translation)

    def inverse(self) -> Rigid3:
        """b_T_a = a_T_b.inverse()."""
        inverse_rotation = tf.linalg.matrix_transpose(self.rotation)
        return Rigid3(inverse_rotation, -_rotate(inverse_rotation, self.translation))

    def transform(self, points: tf.Tensor) -> tf.Tensor:
        """Points [..., 3, P] in the other frame."""
        return self.rotation @ points + self.translation[..., tf.newaxis]

    def matrix(self) -> tf.Tensor:
        """Homogeneous matrices [..., 4, 4]."""
        upper = tf.concat([self.rotation, self.translation[..., tf.newaxis]], axis=-1)
        shape = tf.concat([tf.shape(self.translation)[:-1], [1, 4]], axis=0)
        bottom = tf.broadcast_to(tf.constant([[0, 0, 0, 1]], upper.dtype), shape)
        return tf.concat([upper, bottom], axis=-2)


def pose_vec2mat(pose: tf.Tensor) -> tf.Tensor:
    """Homogeneous matrices [..., 4, 4] of 6-vectors [..., 6], see `Rigid3.from_vector`."""
    return Rigid3.from_vector(pose).matrix()


def _rotate(rotation: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    return (rotation @ vectors[..., tf.newaxis])[..., 0]


def meshgrid(height: int, width: int, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Homogeneous pixel coordinates [3, H*W] as rows x, y, 1, in row-major order of the image."""
    x, y = tf.meshgrid(tf.range(width), tf.range(height))
    return tf.cast(tf.stack([tf.reshape(x, [-1]), tf.reshape(y, [-1]), tf.ones([height * width], x.dtype)]), dtype)


def scale_intrinsics(intrinsics: tf.Tensor, scale_x: float, scale_y: float) -> tf.Tensor:
    """Intrinsics [..., 3, 3] of an image resized by `scale_x` and `scale_y`: fx, cx and fy, cy are multiplied."""
    # Parity: the release scales the principal point without the half pixel that area resizing shifts it by.
    return intrinsics * tf.constant([[scale_x] * 3, [scale_y] * 3, [1.0] * 3], intrinsics.dtype)


def mirror_back(intrinsics: tf.Tensor) -> tf.Tensor:
    """Intrinsics [..., 3, 3] with fx positive: a mirrored picture is that of a mirrored world in a camera like any."""
    return tf.concat([tf.abs(intrinsics[..., :1]), intrinsics[..., 1:]], axis=-1)


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


def cam2pixel(points: tf.Tensor, projection: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Projects 3-D points.

    Args:
        points: [B, 3, P] in the frame of the target camera.
        projection: [B, 3, 4], intrinsics times `src_T_tgt`.

    Returns:
        [B, 2, P], rows x and y, pixels of the source image, infinite where z is 0; and z [B, 1, P], the depth in the
        source camera.
    """
    xy, z = tf.split(projection[:, :, :3] @ points + projection[:, :, 3:], [2, 1], axis=1)
    # Parity: a plain division by z, so that a point behind the camera projects mirrored instead of being dropped
    # (test_sampler.py::test_points_behind_the_camera_follow_the_release).
    divisor = z + 1e-10
    safe = tf.where(divisor == 0, tf.ones_like(divisor), divisor)
    return tf.where(divisor == 0, tf.constant(math.inf, z.dtype), xy / safe), z


def project_pixels(
    depth: tf.Tensor, src_T_tgt: Rigid3, intrinsics: tf.Tensor, object_motion: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the pixels of the target camera fall in the source camera (paper equation 2).

    Args:
        depth: [B, H, W], camera z of the target view.
        src_T_tgt: of a batch of B.
        intrinsics: [B, 3, 3] at this image size, pixels.
        object_motion: [B, H, W, 3], by how much points move beside the camera's motion, in the source camera's frame;
            None for not at all.

    Returns:
        (x, y) [B, 2, H*W], pixels of the source image, and z [B, 1, H*W], the depth there; see `cam2pixel`.
    """
    if object_motion is not None:
        points = src_T_tgt.transform(pixel2cam(depth, intrinsics))
        moved = points + tf.linalg.matrix_transpose(tf.reshape(object_motion, [tf.shape(object_motion)[0], -1, 3]))
        return cam2pixel(moved, tf.pad(intrinsics, [[0, 0], [0, 0], [0, 1]]))
    return cam2pixel(pixel2cam(depth, intrinsics), intrinsics @ src_T_tgt.matrix()[:, :3])
