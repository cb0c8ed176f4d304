"""Ray casting in a generated street: images, exact depth and lidar scans.

A point of a face is P = corner + s edge_s + t edge_t; a point on a ray is P = z ray. With M = [edge_s edge_t corner] in
the sensor's frame, M (s/z, t/z, 1/z) = ray: the three unknowns are linear in the ray. The rays of every sensor here are
columns[c] + rows[r], so intersecting a face with a block of rays takes three additions per ray. The nearest face is the
one with the largest 1/z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sfmlearner_tf.data.synthetic import Faces, Scene
from sfmlearner_tf.data.synthetic_texture import moments, pattern_and_tint, windows

LIDAR_RANGE_M = 80.0
_NEAREST_M = 0.05
_HAZE_M = 70.0  # at this distance 1/e of an object's own colour is left, the rest is the horizon's
_BLOCK = 8192  # texture points evaluated at a time, so that intermediate results fit the CPU cache


class Rays(NamedTuple):
    """R x C rays in the sensor's frame: `columns[c] + rows[r]`."""

    columns: np.ndarray  # [C, 3]
    rows: np.ndarray  # [R, 3]


class _Bounds(NamedTuple):
    """Bounds of each face on a sensor."""

    rows: np.ndarray  # [F, 2] first row, last row + 1
    columns: np.ndarray  # [F, 2] first column, last column + 1
    inverse_z: np.ndarray  # [F] upper bound over the face


class Hits(NamedTuple):
    """What the rays hit."""

    inverse_z: np.ndarray  # [R, C] point = ray / inverse_z; 0 in the sky
    face: np.ndarray  # [R, C] int16; -1 in the sky


def render(
    scene: Scene, world_T_cam: np.ndarray, intrinsics: np.ndarray, height: int, width: int, supersample: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Renders an image, and the exact depth at its pixel centres.

    Args:
      world_T_cam: [4, 4]; camera frame x right, y down, z forward, metres.
      intrinsics: [3, 3] in pixels; pixel centres have integer coordinates, the first (0, 0).
      supersample: each pixel is the mean of supersample x supersample rays.

    Returns:
      image_u8 [height, width, 3], and depth_m [height, width] float64: camera z in metres along the ray through the
      pixel centre, 0 in the sky.
    """
    cam_T_world = np.linalg.inv(world_T_cam)
    return (
        render_image(scene, cam_T_world, intrinsics, height, width, supersample),
        render_depth(scene, cam_T_world, intrinsics, height, width),
    )


def render_depth(scene: Scene, cam_T_world: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Exact depth [height, width] float64: camera z in metres along the ray through each pixel centre, 0 in the sky."""
    hits = cast_centres(scene, cam_T_world, intrinsics, height, width)
    return np.divide(1.0, hits.inverse_z, out=np.zeros_like(hits.inverse_z), where=hits.inverse_z > 0)


def cast_centres(scene: Scene, cam_T_world: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> Hits:
    """What the rays through the pixels' centres hit."""
    corner, solve = _facing(scene.faces, cam_T_world)
    u, v = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    return _cast(solve, _pinhole(intrinsics, u, v), _pinhole_bounds(corner, intrinsics, u, v))


def render_image(
    scene: Scene, cam_T_world: np.ndarray, intrinsics: np.ndarray, height: int, width: int, supersample: int = 2
) -> np.ndarray:
    """The image [height, width, 3] uint8; arguments as for `render`, with the pose inverted.

    If all rays of a pixel hit the same face, its colour is computed once, at the centre: textures are already averaged
    over the pixel in closed form.
    """
    u, v = ((np.arange(supersample * size, dtype=np.float32) + 0.5) / supersample - 0.5 for size in (width, height))
    corner, solve = _facing(scene.faces, cam_T_world)
    hits = _cast(solve, _pinhole(intrinsics, u, v), _pinhole_bounds(corner, intrinsics, u, v))
    face = hits.face.reshape(height, supersample, width, supersample).transpose(0, 2, 1, 3)
    face = face.reshape(height, width, supersample**2)
    plain = (face == face[..., :1]).all(axis=-1)

    view = _View(scene, np.einsum("fij,jk->fik", solve, np.linalg.inv(intrinsics)), intrinsics, cam_T_world)
    image = np.empty((height, width, 3), np.float32)
    row, column = np.nonzero(plain)
    image[row, column] = _colours(view, face[row, column, 0], column.astype(np.float32), row.astype(np.float32))
    row, column = np.nonzero(~plain)
    columns, rows = (
        np.tile(u.reshape(width, 1, supersample), (1, supersample, 1)).reshape(width, -1)[column],
        np.repeat(v.reshape(height, supersample), supersample, axis=1)[row],
    )
    mixed = _colours(view, face[row, column].ravel(), columns.ravel(), rows.ravel())
    image[row, column] = mixed.reshape(len(row), supersample**2, 3).mean(axis=1)
    return (image + 0.5).astype(np.uint8)


def scan(scene: Scene, world_T_velo: np.ndarray, azimuth_rad: np.ndarray, elevation_rad: np.ndarray) -> np.ndarray:
    """A lidar scan [n, 4] float32: x forward, y left, z up in metres in the sensor's frame, and reflectance in [0, 1].

    Args:
      world_T_velo: [4, 4].
      azimuth_rad: [C], to the left, ascending within (-pi, pi).
      elevation_rad: [R], upwards, ascending. Every pair is one beam; it returns a point if it hits something within
        LIDAR_RANGE_M.
    """
    corner, solve = _facing(scene.faces, np.linalg.inv(world_T_velo))
    zeros_az, zeros_el = np.zeros_like(azimuth_rad), np.zeros_like(elevation_rad)
    rays = Rays(
        columns=np.stack([np.cos(azimuth_rad), np.sin(azimuth_rad), zeros_az], axis=-1),
        rows=np.stack([zeros_el, zeros_el, np.tan(elevation_rad)], axis=-1),
    )
    hits = _cast(solve, rays, _lidar_bounds(corner, rays))
    row, column = np.nonzero(hits.face >= 0)
    points = (rays.columns[column] + rays.rows[row]) / hits.inverse_z[row, column, None]
    reflectance = scene.faces.colour[hits.face[row, column], 0].mean(axis=-1) / 255
    near = np.linalg.norm(points, axis=-1) <= LIDAR_RANGE_M
    return np.concatenate([points, np.clip(reflectance, 0, 1)[:, None]], axis=-1)[near].astype(np.float32)


def _facing(faces: Faces, sensor_T_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces in the sensor's frame.

    Returns:
      corners [F, 4, 3], in order around the face; and matrices [F, 3, 3] that turn a ray into (s/z, t/z, 1/z), all
      zero for a face seen from behind, so that no ray hits it.
    """
    rotation, translation = sensor_T_world[:3, :3], sensor_T_world[:3, 3]
    corner, edge_s, edge_t = (
        np.einsum("ij,fj->fi", rotation, vectors) for vectors in (faces.corner, faces.edge_s, faces.edge_t)
    )
    corner += translation
    # Cramer's rule: np.linalg.inv would start threads for each of these small matrices.
    outwards = np.cross(edge_s, edge_t)
    determinant = np.einsum("fi,fi->f", corner, outwards)  # negative if the outside faces the sensor
    cofactors = np.stack([np.cross(edge_t, corner), np.cross(corner, edge_s), outwards], axis=1)
    factor = np.where(determinant < -1e-9, 1 / np.where(determinant < -1e-9, determinant, 1.0), 0.0)
    solve = factor[:, None, None] * cofactors
    return np.stack([corner, corner + edge_s, corner + edge_s + edge_t, corner + edge_t], axis=1), solve


def _cast(solve: np.ndarray, rays: Rays, bounds: _Bounds) -> Hits:
    """The nearest face on every ray, in the precision of `rays`; `solve` [F, 3, 3] comes from `_facing`."""
    (top, bottom), (left, right) = bounds.rows.T, bounds.columns.T
    seen = solve.any(axis=(1, 2)) & (top < bottom) & (left < right)
    seen[0] = False
    # Nearest first, so that most of the far faces are skipped at once as hidden.
    order = np.flatnonzero(seen)[np.argsort(-bounds.inverse_z[seen], kind="stable")]
    columns, rows = (np.ascontiguousarray(part.T) for part in rays)
    inverse_z = np.maximum(np.add.outer(*(_through(solve[0], part)[2] for part in (rows, columns))), 0)
    face = np.where(inverse_z > 0, 0, -1).astype(np.int16)
    for number in order:
        block = slice(top[number], bottom[number]), slice(left[number], right[number])
        nearest = inverse_z[block]
        if nearest.min() >= bounds.inverse_z[number]:
            continue
        s, t, w = (
            _through(solve[number], rows[:, block[0]])[..., None]
            + _through(solve[number], columns[:, block[1]])[:, None]
        )
        hit = (w > nearest) & (s >= 0) & (t >= 0) & (s <= w) & (t <= w)
        np.copyto(nearest, w, where=hit)
        np.copyto(face[block], number, where=hit)
    return Hits(inverse_z, face)


def _through(matrix: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """`matrix` [3, 3] times `rays` [3, n], in the precision of the rays."""
    # einsum, because BLAS threads slow down matrix products this small.
    return np.einsum("ij,jn->in", matrix.astype(rays.dtype), rays)


def _pinhole(intrinsics: np.ndarray, u: np.ndarray, v: np.ndarray) -> Rays:
    """Rays with unit z through the pixels u [C] and v [R]."""
    columns = np.stack([(u - intrinsics[0, 2]) / intrinsics[0, 0], np.zeros_like(u), np.ones_like(u)], axis=-1)
    rows = np.stack([np.zeros_like(v), (v - intrinsics[1, 2]) / intrinsics[1, 1], np.zeros_like(v)], axis=-1)
    return Rays(columns.astype(u.dtype), rows.astype(v.dtype))


def _pinhole_bounds(corner: np.ndarray, intrinsics: np.ndarray, u: np.ndarray, v: np.ndarray) -> _Bounds:
    """The bounding rectangle of each projected face, clipped at the near plane."""
    following = np.roll(corner, -1, axis=1)
    depth, depth_following = corner[..., 2], following[..., 2]
    crosses = (depth < _NEAREST_M) != (depth_following < _NEAREST_M)
    part = (_NEAREST_M - depth) / np.where(crosses, depth_following - depth, 1.0)
    cut = corner + part[..., None] * (following - corner)
    outline = np.concatenate([corner, cut], axis=1)
    valid = np.concatenate([depth >= _NEAREST_M, crosses], axis=1)
    z = np.where(valid, outline[..., 2], 1.0)
    columns, rows = (
        _span(intrinsics[axis, axis] * outline[..., axis] / z + intrinsics[axis, 2], valid, grid)
        for axis, grid in ((0, u), (1, v))
    )
    return _Bounds(rows, columns, np.where(valid, 1 / z, 0).max(axis=1))


def _lidar_bounds(corner: np.ndarray, rays: Rays) -> _Bounds:
    """Bounds from the azimuths of the corners and the slopes to the highest and lowest corner.

    z is the distance along the ground.
    """
    azimuth = np.arctan2(corner[..., 1], corner[..., 0])
    middle = corner.mean(axis=1)
    radius = np.linalg.norm(corner[:, 0] - middle, axis=-1)
    distance = np.linalg.norm(middle[:, :2], axis=-1)[:, None] + np.array([-1, 1]) * radius[:, None]
    distance = np.maximum(distance, _NEAREST_M)
    height = np.stack([corner[..., 2].min(axis=1), corner[..., 2].max(axis=1)], axis=-1)
    slope = (height[:, :, None] / distance[:, None]).reshape(-1, 4)
    every = np.ones_like(azimuth, bool)
    return _Bounds(
        rows=_span(slope, every, rays.rows[:, 2]),
        columns=_span(azimuth, every, np.arctan2(rays.columns[:, 1], rays.columns[:, 0])),
        inverse_z=1 / distance[:, 0],
    )


def _span(values: np.ndarray, valid: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """[F, 2] first and end index into the ascending `grid` around the valid `values` [F, n], with a margin of one."""
    first = np.searchsorted(grid, np.where(valid, values, np.inf).min(axis=1)) - 1
    end = np.searchsorted(grid, np.where(valid, values, -np.inf).max(axis=1), side="right") + 1
    return np.stack([np.maximum(first, 0), np.minimum(end, len(grid))], axis=-1)


class _View(NamedTuple):
    """A scene and a camera."""

    scene: Scene
    solve_px: np.ndarray  # [F, 3, 3] turns (u, v, 1) into (s/z, t/z, 1/z)
    intrinsics: np.ndarray  # [3, 3]
    cam_T_world: np.ndarray  # [4, 4]


def _colours(view: _View, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [n, 3] float32 in [0, 255] of the faces [n] (-1: sky) at the pixels u, v [n]."""
    colour = np.empty((len(face), 3), np.float32)
    sky = face < 0
    colour[sky] = _sky(view, u[sky], v[sky])
    solid = np.flatnonzero(~sky)
    for start in range(0, len(solid), _BLOCK):
        block = solid[start : start + _BLOCK]
        colour[block] = _shade(view, face[block], u[block], v[block])
    return np.clip(colour, 0, 255, out=colour)


def _sky(view: _View, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sky colours [n, 3], from the horizon's to the zenith's by the sine of the elevation."""
    (fx, _, cx), (_, fy, cy), _ = view.intrinsics
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], axis=-1)
    sine = -np.einsum("ni,i->n", rays, view.cam_T_world[:3, 1]) / np.linalg.norm(rays, axis=-1)
    horizon, zenith = view.scene.sky
    return horizon + np.clip(sine / 0.4, 0, 1)[:, None] * (zenith - horizon)


def _shade(view: _View, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [n, 3] float32 of the faces [n] at the pixels u, v [n]."""
    faces, solve_px = view.scene.faces, view.solve_px
    extent = np.stack([np.linalg.norm(edge, axis=-1) for edge in (faces.edge_s, faces.edge_t)], axis=-1)
    # To (p/z, q/z, 1/z), with p and q in metres on the texture.
    to_texture = solve_px.copy()
    to_texture[:, :2] = extent[..., None] * solve_px[:, :2] + faces.texture_shift[..., None] * solve_px[:, 2:]
    by_u, by_v, constant = (to_texture.astype(np.float32)[:, :, k].take(face, axis=0).T for k in range(3))
    p, q, w = by_u * u + by_v * v + constant
    z = 1 / w
    p *= z
    q *= z
    # Derivatives of p and q per pixel.
    p_u, q_u = (by_u[0] - p * by_u[2]) * z, (by_u[1] - q * by_u[2]) * z
    p_v, q_v = (by_v[0] - p * by_v[2]) * z, (by_v[1] - q * by_v[2]) * z
    fade = moments(p_u, q_u, p_v, q_v)
    pattern, tint = pattern_and_tint(view.scene.waves, p, q, fade)
    mean, by_pattern, by_tint, by_window = (faces.colour[:, k].astype(np.float32).take(face, axis=0) for k in range(4))
    colour = mean + pattern[:, None] * by_pattern + tint[:, None] * by_tint + windows(p, q, fade)[:, None] * by_window
    clear = np.exp(-z / _HAZE_M)[:, None]
    return clear * colour + (1 - clear) * view.scene.sky[0].astype(np.float32)
