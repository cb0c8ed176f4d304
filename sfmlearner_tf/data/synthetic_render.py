"""Ray casting in a generated street: pictures, exact depth and lidar scans.

A point of a face is P = corner + s edge_s + t edge_t; a ray of the sensor reaches P = z ray. With M = [edge_s edge_t
corner] in the sensor's frame this reads M (s/z, t/z, 1/z) = ray: three numbers that are linear in the ray. Every sensor
here has rays of the form columns[c] + rows[r], so one face is met by a whole block of rays with three additions each,
and the nearest face is the one of largest 1/z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sfmlearner_tf.data.synthetic import Faces, Scene, Waves

LIDAR_RANGE_M = 80.0
_NEAREST_M = 0.05
_FILTER_PX = 0.75  # standard deviation of the Gaussian that the texture is averaged with in the picture
_WINDOW_M = (2.7, 2.9)  # one window to the next, across and up; the latter is a storey
_BLOCK = 8192  # texture points evaluated at a time: their intermediate results stay in the processor's cache


class Rays(NamedTuple):
    """R x C rays of a sensor, in its frame: `columns[c] + rows[r]`."""

    columns: np.ndarray  # [C, 3]
    rows: np.ndarray  # [R, 3]


class Hits(NamedTuple):
    """What the rays meet."""

    inverse_z: np.ndarray  # [R, C] point = ray / inverse_z; 0 where there is only sky
    face: np.ndarray  # [R, C] int16; -1 where there is only sky


def render(
    scene: Scene, world_T_cam: np.ndarray, intrinsics: np.ndarray, height: int, width: int, supersample: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """One picture, and the exact depth of its pixels' centres.

    Args:
      world_T_cam: [4, 4]; camera frame x right, y down, z forward, metres.
      intrinsics: [3, 3] in pixels; a pixel's centre has whole coordinates, the first (0, 0).
      supersample: each pixel is the mean of supersample x supersample rays.

    Returns:
      image_u8 [height, width, 3], and depth_m [height, width] float64, camera z in metres of the ray through the pixel's
      centre, 0 in the sky.
    """
    cam_T_world = np.linalg.inv(world_T_cam)
    return (
        render_image(scene, cam_T_world, intrinsics, height, width, supersample),
        render_depth(scene, cam_T_world, intrinsics, height, width),
    )


def render_depth(scene: Scene, cam_T_world: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Exact depth [height, width] float64: camera z in metres of the ray through each pixel's centre, 0 in the sky."""
    corner, solve = _facing(scene.faces, cam_T_world)
    u, v = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    hits = _cast(solve, _pinhole(intrinsics, u, v), _pinhole_bounds(corner, intrinsics, u, v))
    return np.divide(1.0, hits.inverse_z, out=np.zeros_like(hits.inverse_z), where=hits.inverse_z > 0)


def render_image(
    scene: Scene, cam_T_world: np.ndarray, intrinsics: np.ndarray, height: int, width: int, supersample: int = 2
) -> np.ndarray:
    """The picture [height, width, 3] uint8; arguments as of `render`, but for the inverse of the pose."""
    u, v = ((np.arange(supersample * size, dtype=np.float32) + 0.5) / supersample - 0.5 for size in (width, height))
    corner, solve = _facing(scene.faces, cam_T_world)
    rays = _pinhole(intrinsics, u, v)
    hits = _cast(solve, rays, _pinhole_bounds(corner, intrinsics, u, v))
    colour = _sky(scene.sky, rays, cam_T_world)
    struck = np.flatnonzero(hits.face >= 0)
    per_pixel = np.linalg.inv(intrinsics)
    for start in range(0, len(struck), _BLOCK):
        block = struck[start : start + _BLOCK]
        row, column = np.divmod(block, len(u))
        colour.reshape(-1, 3)[block] = _shade(scene, solve @ per_pixel, hits.face.reshape(-1)[block], u[column], v[row])
    np.clip(colour, 0, 255, out=colour)
    colour = colour.reshape(height, supersample, width, supersample, 3)
    # Plain additions: a mean over two short axes takes several times as long.
    total = sum(colour[:, i, :, j] for i in range(supersample) for j in range(supersample))
    return (total / supersample**2 + 0.5).astype(np.uint8)


def scan(scene: Scene, world_T_velo: np.ndarray, azimuth_rad: np.ndarray, elevation_rad: np.ndarray) -> np.ndarray:
    """A lidar scan [n, 4] float32: x forward, y left, z up in metres in the sensor's frame, and reflectance in [0, 1].

    Args:
      world_T_velo: [4, 4].
      azimuth_rad: [C] of the beams, to the left, within (-pi, pi); elevation_rad: [R], upwards. Every pair is one beam; it
        returns a point where something stands within LIDAR_RANGE_M.
    """
    corner, solve = _facing(scene.faces, np.linalg.inv(world_T_velo))
    nought_az, nought_el = np.zeros_like(azimuth_rad), np.zeros_like(elevation_rad)
    rays = Rays(
        columns=np.stack([np.cos(azimuth_rad), np.sin(azimuth_rad), nought_az], axis=-1),
        rows=np.stack([nought_el, nought_el, np.tan(elevation_rad)], axis=-1),
    )
    hits = _cast(solve, rays, _azimuth_bounds(corner, azimuth_rad, len(elevation_rad)))
    row, column = np.nonzero(hits.face >= 0)
    points = (rays.columns[column] + rays.rows[row]) / hits.inverse_z[row, column, None]
    reflectance = scene.faces.colour[hits.face[row, column], 0].mean(axis=-1) / 255
    near = np.linalg.norm(points, axis=-1) <= LIDAR_RANGE_M
    return np.concatenate([points, np.clip(reflectance, 0, 1)[:, None]], axis=-1)[near].astype(np.float32)


def _facing(faces: Faces, sensor_T_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners [F, 4, 3] in the sensor's frame in order around each face, and the matrices [F, 3, 3] that turn a ray into
    (s/z, t/z, 1/z): all zero, so that no ray meets them, for faces seen from behind."""
    rotation, translation = sensor_T_world[:3, :3], sensor_T_world[:3, 3]
    corner = faces.corner @ rotation.T + translation
    edge_s, edge_t = faces.edge_s @ rotation.T, faces.edge_t @ rotation.T
    # corner . (edge_s x edge_t) is the determinant of M; it is negative where the outside looks at the sensor.
    towards = np.einsum("fi,fi->f", corner, np.cross(edge_s, edge_t)) < -1e-9
    solve = np.zeros((len(corner), 3, 3))
    solve[towards] = np.linalg.inv(np.stack([edge_s, edge_t, corner], axis=-1)[towards])
    return np.stack([corner, corner + edge_s, corner + edge_s + edge_t, corner + edge_t], axis=1), solve


def _cast(solve: np.ndarray, rays: Rays, bounds: np.ndarray) -> Hits:
    """The nearest face of every ray, in the precision of `rays`.

    Args:
      solve: [F, 3, 3] of `_facing`; bounds: [F, 4] first and end row, first and end column of the rays that may meet a face.
    """
    dtype = rays.columns.dtype
    by_column = (solve @ rays.columns.T).astype(dtype)  # [F, 3, C]
    by_row = (solve @ rays.rows.T).astype(dtype)[..., None]  # [F, 3, R, 1]
    inverse_z = np.maximum(by_row[0, 2] + by_column[0, 2], 0)
    face = np.where(inverse_z > 0, 0, -1).astype(np.int16)
    seen = solve.any(axis=(1, 2)) & (bounds[:, 0] < bounds[:, 1]) & (bounds[:, 2] < bounds[:, 3])
    for number in np.flatnonzero(seen[1:]) + 1:
        top, bottom, left, right = bounds[number]
        s, t, w = (by_row[number, k, top:bottom] + by_column[number, k, left:right] for k in range(3))
        nearest = inverse_z[top:bottom, left:right]
        hit = (w > nearest) & (s >= 0) & (t >= 0) & (s <= w) & (t <= w)
        np.copyto(nearest, w, where=hit)
        np.copyto(face[top:bottom, left:right], number, where=hit)
    return Hits(inverse_z, face)


def _pinhole(intrinsics: np.ndarray, u: np.ndarray, v: np.ndarray) -> Rays:
    """Rays through the pixels u [C] and v [R], of unit z."""
    columns = np.stack([(u - intrinsics[0, 2]) / intrinsics[0, 0], np.zeros_like(u), np.ones_like(u)], axis=-1)
    rows = np.stack([np.zeros_like(v), (v - intrinsics[1, 2]) / intrinsics[1, 1], np.zeros_like(v)], axis=-1)
    return Rays(columns.astype(u.dtype), rows.astype(v.dtype))


def _pinhole_bounds(corner: np.ndarray, intrinsics: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[F, 4] first and end row, first and end column: the rectangle around each face's picture, cut at the near plane."""
    following = np.roll(corner, -1, axis=1)
    depth, depth_following = corner[..., 2], following[..., 2]
    crosses = (depth < _NEAREST_M) != (depth_following < _NEAREST_M)
    part = (_NEAREST_M - depth) / np.where(crosses, depth_following - depth, 1.0)
    cut = corner + part[..., None] * (following - corner)
    outline = np.concatenate([corner, cut], axis=1)
    valid = np.concatenate([depth >= _NEAREST_M, crosses], axis=1)
    z = np.where(valid, outline[..., 2], 1.0)
    bounds = []
    for axis, grid in ((1, v), (0, u)):
        pixel = intrinsics[axis, axis] * outline[..., axis] / z + intrinsics[axis, 2]
        bounds.append(
            _span(np.where(valid, pixel, np.inf).min(axis=1), np.where(valid, pixel, -np.inf).max(axis=1), grid)
        )
    return np.concatenate(bounds, axis=-1)


def _azimuth_bounds(corner: np.ndarray, azimuth_rad: np.ndarray, rows: int) -> np.ndarray:
    """[F, 4] first and end row, first and end column; a face is within the azimuths of its corners, and in any row."""
    azimuth = np.arctan2(corner[..., 1], corner[..., 0])
    columns = _span(azimuth.min(axis=1), azimuth.max(axis=1), azimuth_rad)
    return np.concatenate([np.tile([0, rows], (len(corner), 1)), columns], axis=-1)


def _span(low: np.ndarray, high: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """[F, 2] first and end index of the values of the ascending `grid` within [low, high], one to spare on either side."""
    first = np.searchsorted(grid, low) - 1
    end = np.searchsorted(grid, high, side="right") + 1
    return np.stack([np.maximum(first, 0), np.minimum(end, len(grid))], axis=-1)


def _sky(sky: np.ndarray, rays: Rays, cam_T_world: np.ndarray) -> np.ndarray:
    """[R, C, 3] float32: from the horizon's colour to the zenith's, by the sine of the elevation."""
    up = -cam_T_world[:3, 1]
    height = (rays.rows @ up)[:, None] + rays.columns @ up
    length = np.sqrt((rays.rows**2).sum(axis=-1)[:, None] + (rays.columns**2).sum(axis=-1))
    blend = np.clip(height / length / 0.4, 0, 1)[..., None].astype(np.float32)
    horizon, zenith = sky.astype(np.float32)
    return horizon + blend * (zenith - horizon)


def _shade(scene: Scene, solve_px: np.ndarray, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [n, 3] float32 of the faces [n] at the pixels u, v [n].

    `solve_px` [F, 3, 3] turns (u, v, 1) into (s/z, t/z, 1/z).
    """
    faces = scene.faces
    extent = np.stack([np.linalg.norm(edge, axis=-1) for edge in (faces.edge_s, faces.edge_t)], axis=-1)
    # (p/z, q/z, 1/z): p and q are metres on the texture.
    to_texture = solve_px.copy()
    to_texture[:, :2] = extent[..., None] * solve_px[:, :2] + faces.texture_shift[..., None] * solve_px[:, 2:]
    by_u, by_v, constant = (to_texture.astype(np.float32)[face, :, k].T for k in range(3))
    p, q, w = by_u * u + by_v * v + constant
    z = 1 / w
    p *= z
    q *= z
    # How far the texture moves from one pixel to the next.
    p_u, q_u = (by_u[0] - p * by_u[2]) * z, (by_u[1] - q * by_u[2]) * z
    p_v, q_v = (by_v[0] - p * by_v[2]) * z, (by_v[1] - q * by_v[2]) * z
    moments = np.stack([p_u * p_u + p_v * p_v, 2 * (p_u * q_u + p_v * q_v), q_u * q_u + q_v * q_v])
    moments *= -0.5 * _FILTER_PX**2

    pattern, tint = _pattern(scene.waves, p, q, moments)
    mean, by_pattern, by_tint, by_window = (faces.colour[:, k].astype(np.float32)[face] for k in range(4))
    colour = mean + pattern[:, None] * by_pattern + tint[:, None] * by_tint
    return colour + _windows(p, q, moments)[:, None] * by_window


def _pattern(waves: Waves, p: np.ndarray, q: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fine pattern and the coarse tint [n] at the texture points p, q [n], as a picture shows them.

    A wave averaged with a Gaussian over its picture is the wave times exp(-sigma^2 |gradient of its phase|^2 / 2), which is
    exact: no surface, however slanted or far, has detail finer than the pixels. `moments` [3, n] holds that exponent for
    the squares of the wave vector (x x, x y, y y).
    """
    pattern, tint = np.zeros_like(p), np.zeros_like(p)
    phase, damping, term = np.empty_like(p), np.empty_like(p), np.empty_like(p)
    for (x, y), start, (fine, coarse) in zip(waves.vectors.tolist(), waves.phases.tolist(), waves.amplitudes.tolist()):
        np.multiply(p, x, out=phase)
        phase += np.multiply(q, y, out=term)
        phase += start
        np.multiply(moments[0], x * x, out=damping)
        damping += np.multiply(moments[1], x * y, out=term)
        damping += np.multiply(moments[2], y * y, out=term)
        np.sin(phase, out=phase)
        phase *= np.exp(damping, out=damping)
        pattern += np.multiply(phase, fine, out=term)
        if coarse:
            tint += np.multiply(phase, coarse, out=term)
    return pattern, tint


def _windows(p: np.ndarray, q: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """[n] from 0 between the windows to 1 inside them, with soft edges that fade out where they get fine."""
    x, y = (2 * np.pi / metres for metres in _WINDOW_M)
    across = np.cos(x * p) * np.exp(moments[0] * (x * x))
    upwards = np.cos(y * q) * np.exp(moments[2] * (y * y))
    return 0.25 * (1 + np.tanh(2 * across)) * (1 + np.tanh(2 * upwards))
