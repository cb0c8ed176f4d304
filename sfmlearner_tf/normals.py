"""Surface normals from depth, and depth from them (Yang et al., AAAI 2018, "Unsupervised Learning of Geometry with
Edge-aware Depth-Normal Consistency")."""

from __future__ import annotations

import tensorflow as tf

from sfmlearner_tf.geometry import pixel2cam

# How fast a neighbour counts less as its colour differs, the mean over the channels of images in [0, 1].
ALPHA = 10.0
# (rows, columns) to the eight neighbours of a pixel, clockwise; two further on is a quarter of a turn.
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_QUARTER = 2
# A plane may make neighbours differ by this factor at the most: rows near the horizon of a road do by two.
_LARGEST_RATIO = 2.0
_TINY = 1e-24


def depth_to_normals(depth: tf.Tensor, intrinsics: tf.Tensor, image: tf.Tensor, alpha: float = ALPHA) -> tf.Tensor:
    """The normals of the surface that depth describes: n ~ sum of w_a w_b (P_b - P) x (P_a - P) over pairs of
    neighbours a and b a quarter of a turn apart, w = exp(-alpha |difference of colour|).

    Args:
        depth: [B, H, W], camera z.
        intrinsics: [B, 3, 3] at this size, pixels.
        image: [B, H, W, 3] in [-1, 1].

    Returns:
        [B, H, W, 3] of length 1, towards the camera; x right, y down, z forward.
    """
    points = _as_image(pixel2cam(depth, intrinsics), depth)
    weights = _weigh_neighbours(image, alpha)
    # In units of each pixel's depth, so that the scale of depth is nothing to rounding.
    away = [(neighbour - points) / depth[..., tf.newaxis] for neighbour in _see_neighbours(points)]
    weighted = [weight * vector for weight, vector in zip(weights, away)]
    ahead = weighted[_QUARTER:] + weighted[:_QUARTER]
    normals = tf.add_n([tf.linalg.cross(b, a) for a, b in zip(weighted, ahead)])
    return normals * tf.math.rsqrt(tf.maximum(tf.reduce_sum(normals**2, axis=-1, keepdims=True), _TINY))


def normals_to_depth(
    normals: tf.Tensor, depth: tf.Tensor, intrinsics: tf.Tensor, image: tf.Tensor, alpha: float = ALPHA
) -> tf.Tensor:
    """The depth that the planes of a pixel's eight neighbours give it, their mean by the weights of
    `depth_to_normals`: D = D_a (n_a . r_a) / (n_a . r), where r is the ray of a pixel, K^-1 p.

    Args:
        normals: [B, H, W, 3], towards the camera.
        depth: [B, H, W], camera z.
        intrinsics: [B, 3, 3] at this size, pixels.
        image: [B, H, W, 3] in [-1, 1].

    Returns:
        [B, H, W], the neighbours' depths changed by a factor of 2 at the most.
    """
    rays = _as_image(pixel2cam(tf.ones_like(depth), intrinsics), depth)
    facing = tf.minimum(tf.reduce_sum(normals * rays, axis=-1, keepdims=True), -_TINY)
    # Over its facing, so that the product with a neighbour's ray is how much nearer that neighbour is.
    planes = tf.concat([normals / facing, depth[..., tf.newaxis]], axis=-1)
    weights = _weigh_neighbours(image, alpha)
    found = []
    for neighbour in _see_neighbours(planes):
        nearer = tf.reduce_sum(neighbour[..., :3] * rays, axis=-1, keepdims=True)
        nearer = tf.clip_by_value(nearer, 1 / _LARGEST_RATIO, _LARGEST_RATIO)
        found.append(neighbour[..., 3:] / nearer)
    total = tf.add_n([weight * value for weight, value in zip(weights, found)])
    return (total / tf.add_n(weights))[..., 0]


def find_plane_depth(disparity: tf.Tensor, image: tf.Tensor, alpha: float = ALPHA) -> tf.Tensor:
    """Disparity [B, H, W, 1] after depth was turned into normals and back: what lies in a plane stays as it is.

    Args:
        image: [B, H, W, 3] in [-1, 1].
    """
    depth = 1 / disparity[..., 0]
    # Any camera gives the same: what is a plane in space is one of inverse depth over the pixels.
    camera = tf.eye(3, dtype=depth.dtype)[tf.newaxis]
    normals = depth_to_normals(depth, camera, image, alpha)
    return 1 / normals_to_depth(normals, depth, camera, image, alpha)[..., tf.newaxis]


def _as_image(points: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Points [B, 3, H*W] as [B, H, W, 3]."""
    return tf.reshape(tf.linalg.matrix_transpose(points), tf.concat([tf.shape(like), [3]], axis=0))


def _weigh_neighbours(image: tf.Tensor, alpha: float) -> list[tf.Tensor]:
    """8 of [B, H, W, 1], how much each neighbour counts; 0 outside the image."""
    inside = tf.ones_like(image[..., :1])
    pairs = _see_neighbours(tf.concat([image, inside], axis=-1))
    differences = [tf.reduce_mean(tf.abs(pair[..., :3] - image), axis=-1, keepdims=True) / 2 for pair in pairs]
    return [pair[..., 3:] * tf.exp(-alpha * difference) for pair, difference in zip(pairs, differences)]


def _see_neighbours(values: tf.Tensor) -> list[tf.Tensor]:
    """8 of [B, H, W, C], at each pixel what its neighbour has; 0 outside the image."""
    height, width = values.shape[1:3]
    padded = tf.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return [tf.slice(padded, [0, 1 + row, 1 + column, 0], [-1, height, width, -1]) for row, column in _AROUND]
