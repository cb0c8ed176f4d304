"""A generated street: its geometry, and the path of the camera through it.

World frame: x right, y down, z forward, metres; the ground is the plane y = 0. All objects are made of flat rectangles,
so ray intersections have a closed form (`synthetic_render.py`), and depth and poses are exact.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sfmlearner_tf.data.synthetic_path import (
    Path,
    at,
    forward,
    make_path,
    pitch_matrix,
    right,
    roll_matrix,
    smooth_walk,
    yaw_matrix,
)
from sfmlearner_tf.data.synthetic_texture import Waves, make_waves

CAMERA_HEIGHT_M = 1.65
MEAN_STEP_M = 0.35
KITTI_FOCAL_LENGTH = 0.58  # in widths of the image
FACES_OF_BOX = 5
_BEHIND_M, _AHEAD_M = 15.0, 150.0  # how far the street extends behind the first and beyond the last camera


class Faces(NamedTuple):
    """F flat rectangles, visible from outside: `corner` + s * `edge_s` + t * `edge_t` with s and t in [0, 1].

    Face 0 is the ground, an infinite plane.
    """

    corner: np.ndarray  # [F, 3] world, metres
    edge_s: np.ndarray  # [F, 3]
    edge_t: np.ndarray  # [F, 3]; the cross product edge_s x edge_t points out of the object
    texture_shift: np.ndarray  # [F, 2] metres, position of the corner on the infinite texture
    colour: np.ndarray  # [F, 4, 3] of 255: mean, and the amplitudes of fine pattern, coarse tint and windows


class Scene(NamedTuple):
    """One street."""

    seed: int
    frames: int
    road_half_width_m: float
    path: Path
    faces: Faces
    waves: Waves
    sky: np.ndarray  # [2, 3] of 255: colour at the horizon and at the zenith
    sun: np.ndarray  # [2] world x, z: where it stands


class Box(NamedTuple):
    """A cuboid on the ground; `kind` is "house", "thing" or "pavement"."""

    centre: np.ndarray  # [2] world x, z
    yaw_rad: float
    half_length_m: float  # along the heading
    half_width_m: float  # across it
    height_m: float
    kind: str


def make_scene(seed: int, frames: int = 50) -> Scene:
    """The street of this seed, long enough for a drive of `frames` frames. Equal arguments give equal scenes.

    Road width, houses, set-backs, gaps, roadside objects, colours and textures all depend on the seed.
    """
    rng = np.random.default_rng([seed, 0])
    path = make_path(rng, start_m=-_BEHIND_M, end_m=1.2 * MEAN_STEP_M * frames + _AHEAD_M)
    road_half_width_m = rng.uniform(4.2, 7.0)
    boxes = [box for side in (-1, 1) for box in _roadside(rng, path, road_half_width_m, side)]
    clear = [box for box in boxes if _distance_to_path(box, path) > 0.8 * road_half_width_m - 0.6]
    sun = forward(rng.uniform(-np.pi, np.pi))
    return Scene(
        seed=seed,
        frames=frames,
        road_half_width_m=road_half_width_m,
        path=path,
        faces=_make_faces(rng, clear, sun),
        waves=make_waves(rng),
        sky=np.array([rng.uniform([190, 200, 215], [225, 225, 235]), rng.uniform([80, 120, 170], [140, 165, 215])]),
        sun=sun,
    )


def add_boxes(scene: Scene, boxes: Sequence[tuple[Box, np.ndarray, np.ndarray]]) -> Scene:
    """The street with further boxes, each given with the shift and colour of its texture; their faces come last."""
    added = [face for box, shift, colour in boxes for face in _box_faces(box, shift, colour, scene.sun)]
    columns = (np.concatenate([old, np.array(new)]) for old, new in zip(scene.faces, zip(*added)))
    return scene._replace(faces=Faces(*columns))


def drive_along(scene: Scene) -> np.ndarray:
    """How far along the road the camera is at each frame of the scene, metres [n], 0 at the first."""
    return _drive(scene)[1]


def _drive(scene: Scene) -> tuple[float, np.ndarray, list[np.ndarray]]:
    """How far right of the centre line the camera drives, how far along the road it is [n], and sway, nod, roll and bob
    [n] in [-1, 1]."""
    rng = np.random.default_rng([scene.seed, 1])
    side_m = scene.road_half_width_m * rng.uniform(-0.12, 0.12)
    speed, *small = (smooth_walk(rng, scene.frames) for _ in range(5))
    step_m = MEAN_STEP_M * (1 + 0.15 * speed)
    return side_m, np.concatenate([[0.0], np.cumsum(step_m[:-1])]), small


def trajectory(scene: Scene, frames: int | None = None) -> np.ndarray:
    """world_T_cam [n, 4, 4] float64 of the left camera in `frames` frames (default: all of the scene's).

    About 0.35 m per frame along the road, slightly off its centre line, with slow changes of speed and the small sway,
    pitch, roll and bob of a car. Raises ValueError for more frames than the scene was made for.
    """
    frames = scene.frames if frames is None else frames
    if not 1 <= frames <= scene.frames:
        raise ValueError(f"frames must be 1 to {scene.frames}, as many as the scene was made for, got {frames}")
    side_m, length_m, small = _drive(scene)
    sway, nod, roll, bob = (walk[:frames] for walk in small)
    position, yaw_rad = at(scene.path, length_m[:frames])
    position = position + (side_m + 0.05 * sway)[:, None] * right(yaw_rad)

    world_T_cam = np.tile(np.eye(4), (frames, 1, 1))
    world_T_cam[:, :3, :3] = yaw_matrix(yaw_rad) @ pitch_matrix(0.003 * nod) @ roll_matrix(0.002 * roll)
    world_T_cam[:, :3, 3] = np.stack([position[:, 0], -CAMERA_HEIGHT_M + 0.004 * bob, position[:, 1]], axis=-1)
    return world_T_cam


def intrinsics(height: int, width: int, focal_length: float = KITTI_FOCAL_LENGTH) -> np.ndarray:
    """The camera matrix [3, 3] float64 in pixels, of a focal length in widths; pixel centres at integer coordinates."""
    fx = focal_length * width
    return np.array([[fx, 0, 0.49 * width], [0, 1.02 * fx, 0.46 * height], [0, 0, 1]])


def _roadside(rng: np.random.Generator, path: Path, road_half_width_m: float, side: int) -> list[Box]:
    """The objects on one side of the road (-1 left, 1 right): houses, pavement, houses behind, and roadside things."""
    boxes = []
    start_m, end_m = path.length_m[0], path.length_m[-1]
    pavement_m = rng.uniform(1.5, 4.0)
    mean_storeys = rng.uniform(1.5, 4.5)
    while start_m < end_m - 5:
        lot_m = rng.uniform(5, 14)
        front_m = road_half_width_m + pavement_m + rng.choice([0, rng.uniform(0, 1), rng.uniform(1, 6)])
        place = _Roadside(path, side, start_m + lot_m / 2)
        depth_m = rng.uniform(6, 12)
        boxes.append(place.box(road_half_width_m, lot_m + 0.4, front_m - road_half_width_m + 0.3, 0.13, "pavement"))
        if rng.uniform() < 0.85:
            height_m = 1.2 + 2.9 * max(1, rng.poisson(mean_storeys))
            boxes.append(place.box(front_m, lot_m * rng.uniform(0.8, 1.0), depth_m, height_m, "house"))
        if rng.uniform() < 0.4:
            boxes.append(place.box(rng.uniform(18, 40), rng.uniform(8, 20), 10, rng.uniform(7, 28), "house"))
        start_m += lot_m + rng.choice([0, rng.uniform(0.5, 5)])

    start_m = path.length_m[0]
    while start_m < end_m - 5:
        length_m, width_m, height_m = _THINGS[rng.integers(len(_THINGS))] * rng.uniform(0.85, 1.15, 3)
        place = _Roadside(path, side, start_m + length_m / 2)
        inner_m = road_half_width_m + rng.choice([-0.6, 0.3, max(0.3, pavement_m - width_m)])
        boxes.append(place.box(inner_m, length_m, width_m, height_m, "thing"))
        start_m += length_m + rng.choice([rng.uniform(1, 3), rng.uniform(4, 16)])
    return boxes


# Length along the road, width, height, metres: two cars, a van, a kiosk, a hedge, a container, a billboard.
_THINGS = np.array(
    [
        [4.2, 1.8, 1.5],
        [4.2, 1.8, 1.5],
        [5.5, 2.1, 2.4],
        [1.8, 1.8, 2.6],
        [6.0, 0.7, 1.2],
        [4.0, 2.0, 1.9],
        [0.4, 1.6, 3.2],
    ]
)


class _Roadside(NamedTuple):
    """A place beside the road, `length_m` along it."""

    path: Path
    side: int
    length_m: float

    def box(self, inner_m: float, length_m: float, width_m: float, height_m: float, kind: str) -> Box:
        """A box whose near side is `inner_m` from the centre line."""
        position, yaw_rad = at(self.path, self.length_m)
        centre = position + self.side * (inner_m + width_m / 2) * right(yaw_rad)
        return Box(centre, float(yaw_rad), length_m / 2, width_m / 2, height_m, kind)


def _distance_to_path(box: Box, path: Path) -> float:
    """The smallest distance on the ground from the centre line to the box; 0 if the line crosses it."""
    to_path = path.position - box.centre
    along = np.abs(to_path @ forward(box.yaw_rad)) - box.half_length_m
    across = np.abs(to_path @ right(box.yaw_rad)) - box.half_width_m
    return float(np.hypot(np.maximum(along, 0), np.maximum(across, 0)).min())


def _make_faces(rng: np.random.Generator, boxes: list[Box], sun: np.ndarray) -> Faces:
    shift = rng.uniform(-100, 100, 2)
    # The ground's edges are one metre long, because textures are laid out in metres on every face.
    x, z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    parts = [Faces(np.zeros(3), x, z, shift, paint(rng, "ground"))]
    for box in boxes:
        parts += _box_faces(box, rng.uniform(-100, 100, 2), paint(rng, box.kind), sun)
    return Faces(*(np.array(column) for column in zip(*parts)))


def _box_faces(box: Box, shift: np.ndarray, colour: np.ndarray, sun: np.ndarray) -> list[Faces]:
    """The four sides and the top, each a `Faces` without its first axis; sides that face the sun are brighter."""
    faces = []
    for number in range(4):
        yaw_rad = box.yaw_rad + number * np.pi / 2
        out, aside = forward(yaw_rad), right(yaw_rad)
        out_m, half_m = (box.half_length_m, box.half_width_m)[:: 1 if number % 2 == 0 else -1]
        corner = _raise(box.centre + out_m * out - half_m * aside, box.height_m)
        light = 0.82 + 0.25 * float(out @ sun)
        # A different part of the texture on every side makes the edges visible.
        down = np.array([0.0, box.height_m, 0.0])
        faces.append(Faces(corner, _raise(2 * half_m * aside), down, shift + 7.3 * number, colour * light))
    along, across = box.half_length_m * forward(box.yaw_rad), box.half_width_m * right(box.yaw_rad)
    corner = _raise(box.centre - along - across, box.height_m)
    roof = colour * [[1.05], [1.0], [1.0], [0.0]]
    return [*faces, Faces(corner, _raise(2 * across), _raise(2 * along), shift + 31.7, roof)]


def _raise(ground: np.ndarray, height_m: float = 0.0) -> np.ndarray:
    """World coordinates [3] of a point or vector [2] on the ground."""
    return np.array([ground[0], -height_m, ground[1]])


class _Paint(NamedTuple):
    """Colour ranges of a kind of surface; contrast and tint are standard deviations, of 255."""

    saturation: tuple[float, float]
    value: tuple[float, float]
    contrast: tuple[float, float]
    tint: float
    window: float = 0.0  # how much darker the darkest windows are, of 255


_PAINT = {
    "ground": _Paint(saturation=(0.0, 0.2), value=(0.3, 0.5), contrast=(26, 39), tint=5),
    "pavement": _Paint(saturation=(0.0, 0.2), value=(0.5, 0.7), contrast=(21, 34), tint=6),
    "house": _Paint(saturation=(0.05, 0.5), value=(0.4, 0.8), contrast=(23, 42), tint=10, window=70),
    "thing": _Paint(saturation=(0.1, 0.75), value=(0.3, 0.85), contrast=(23, 44), tint=10),
}


def paint(rng: np.random.Generator, kind: str) -> np.ndarray:
    """A random `Faces.colour` [4, 3] of a kind of surface."""
    ranges = _PAINT[kind]
    hue, saturation, value = rng.uniform(), rng.uniform(*ranges.saturation), rng.uniform(*ranges.value)
    mean = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    pattern = rng.uniform(*ranges.contrast) * (0.6 + 0.8 * mean / mean.max())
    window = -ranges.window * rng.uniform() * (0.7 + 0.6 * rng.uniform(size=3))
    return np.stack([mean, pattern, rng.normal(0, ranges.tint, 3), window])
