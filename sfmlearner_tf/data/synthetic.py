"""A generated street: what stands in it and how the camera drives through it.

World frame: x right, y down, z forward, metres; the ground is the plane y = 0. A heading of `yaw_rad` looks along
(sin yaw, 0, cos yaw). Everything that stands in the street is made of flat rectangles, so a ray meets it in closed form
(`synthetic_render.py`), and depth and poses are exact by construction.
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np

CAMERA_HEIGHT_M = 1.65
MEAN_STEP_M = 0.35
_BEHIND_M, _AHEAD_M = 15.0, 150.0  # how far the street goes on behind the first and before the last camera
_PATH_SPACING_M = 0.1
# Few waves an octave would show as stripes; five in random directions look like a stain, a brick or a cloud.
_WAVELENGTHS_M = np.repeat(8.0 * 0.5 ** np.arange(6), 5)


class Faces(NamedTuple):
    """F flat rectangles, seen from outside: `corner` + s * `edge_s` + t * `edge_t` with s and t in [0, 1]. Face 0 is the ground, endless."""

    corner: np.ndarray  # [F, 3] world, metres
    edge_s: np.ndarray  # [F, 3]
    edge_t: np.ndarray  # [F, 3]; the cross product edge_s x edge_t points out of the object
    texture_shift: np.ndarray  # [F, 2] metres, where on the endless texture the corner lies
    colour: np.ndarray  # [F, 4, 3]: the mean, the change by the fine pattern, by the coarse tint, by windows; of 255


class Waves(NamedTuple):
    """K plane waves over the texture plane: the random pattern of every surface is their sum."""

    vectors: np.ndarray  # [K, 2] rad/m
    phases: np.ndarray  # [K] rad
    amplitudes: np.ndarray  # [K, 2]: for the fine pattern and for the coarse tint, each of unit variance in sum


class Path(NamedTuple):
    """The middle of the road, sampled evenly along its length."""

    length_m: np.ndarray  # [P], 0 where the first camera stands
    position: np.ndarray  # [P, 2] world x, z
    yaw_rad: np.ndarray  # [P]


class Scene(NamedTuple):
    """One street."""

    seed: int
    frames: int
    road_half_width_m: float
    path: Path
    faces: Faces
    waves: Waves
    sky: np.ndarray  # [2, 3]: colour at the horizon and at the zenith, of 255


class _Box(NamedTuple):
    """A cuboid on the ground; `texture` is "house", "thing" or "pavement"."""

    centre: np.ndarray  # [2] world x, z
    yaw_rad: float
    half_length_m: float  # along the heading
    half_width_m: float  # across it
    height_m: float
    texture: str


def make_scene(seed: int, frames: int = 50) -> Scene:
    """The street of this seed, long enough for a drive of `frames` frames. Equal arguments give the equal scene.

    Road width, houses, set-backs, gaps, things at the roadside, colours and textures all differ by seed.
    """
    rng = np.random.default_rng([seed, 0])
    path = _make_path(rng, end_m=1.2 * MEAN_STEP_M * frames + _AHEAD_M)
    road_half_width_m = rng.uniform(4.2, 7.0)
    boxes = [box for side in (-1, 1) for box in _roadside(rng, path, road_half_width_m, side)]
    clear = [box for box in boxes if _distance_to_path(box, path) > 0.8 * road_half_width_m - 0.6]
    return Scene(
        seed=seed,
        frames=frames,
        road_half_width_m=road_half_width_m,
        path=path,
        faces=_make_faces(rng, clear),
        waves=_make_waves(rng),
        sky=np.array([rng.uniform([190, 200, 215], [225, 225, 235]), rng.uniform([80, 120, 170], [140, 165, 215])]),
    )


def trajectory(scene: Scene, frames: int | None = None) -> np.ndarray:
    """world_T_cam [n, 4, 4] float64 of the left camera in `frames` frames (all of the scene's, if not given).

    About 0.35 m a frame along the road, a little to one side of its middle, with slow changes of speed, a sway and the
    slight nodding of a car. Raises ValueError for more frames than the scene was made for.
    """
    frames = scene.frames if frames is None else frames
    if not 1 <= frames <= scene.frames:
        raise ValueError(f"frames must be 1 to {scene.frames}, as many as the scene was made for, got {frames}")
    rng = np.random.default_rng([scene.seed, 1])
    side_m = scene.road_half_width_m * rng.uniform(-0.12, 0.12)
    speed, sway, nod, roll, bob = (_smooth_walk(rng, scene.frames)[:frames] for _ in range(5))
    step_m = MEAN_STEP_M * (1 + 0.15 * speed)
    length_m = np.concatenate([[0.0], np.cumsum(step_m[:-1])])
    position, yaw_rad = _at(scene.path, length_m)
    position = position + (side_m + 0.05 * sway)[:, None] * _right(yaw_rad)

    world_T_cam = np.tile(np.eye(4), (frames, 1, 1))
    world_T_cam[:, :3, :3] = _yaw(yaw_rad) @ _pitch(0.003 * nod) @ _roll(0.002 * roll)
    world_T_cam[:, :3, 3] = np.stack([position[:, 0], -CAMERA_HEIGHT_M + 0.004 * bob, position[:, 1]], axis=-1)
    return world_T_cam


def intrinsics(height: int, width: int) -> np.ndarray:
    """The camera matrix [3, 3] float64 in pixels, like KITTI's in angle of view; a pixel's centre has whole coordinates."""
    fx = 0.58 * width
    return np.array([[fx, 0, 0.49 * width], [0, 1.02 * fx, 0.46 * height], [0, 0, 1]])


def _make_path(rng: np.random.Generator, end_m: float) -> Path:
    length_m = np.arange(-_BEHIND_M, end_m, _PATH_SPACING_M)
    swing_rad, period_m = rng.uniform([0.08, 0.03], [0.28, 0.10]), rng.uniform([60, 25], [110, 45])
    angle = 2 * np.pi * (length_m[:, None] / period_m + rng.uniform(0, 1, 2))
    yaw_rad = np.sin(angle) @ swing_rad
    position = np.cumsum(_forward(yaw_rad) * _PATH_SPACING_M, axis=0)
    return Path(length_m, position - position[np.searchsorted(length_m, 0.0)], yaw_rad)


def _roadside(rng: np.random.Generator, path: Path, road_half_width_m: float, side: int) -> list[_Box]:
    """Everything on one side of the road (-1 left, 1 right): lots with houses and pavement, things before them, houses behind."""
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


# Length along the road, width, height, in metres: cars, a van, a kiosk, a hedge, a container, a billboard.
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

    def box(self, inner_m: float, length_m: float, width_m: float, height_m: float, texture: str) -> _Box:
        """A box whose near side is `inner_m` from the middle of the road."""
        position, yaw_rad = _at(self.path, self.length_m)
        centre = position + self.side * (inner_m + width_m / 2) * _right(yaw_rad)
        return _Box(centre, float(yaw_rad), length_m / 2, width_m / 2, height_m, texture)


def _distance_to_path(box: _Box, path: Path) -> float:
    """The smallest distance on the ground from the middle of the road to the box; 0 inside it."""
    to_path = path.position - box.centre
    along = np.abs(to_path @ _forward(box.yaw_rad)) - box.half_length_m
    across = np.abs(to_path @ _right(box.yaw_rad)) - box.half_width_m
    return float(np.hypot(np.maximum(along, 0), np.maximum(across, 0)).min())


def _make_faces(rng: np.random.Generator, boxes: list[_Box]) -> Faces:
    sun = _forward(rng.uniform(-np.pi, np.pi))
    # Spans of the ground's texture coordinates are metres from the world's origin.
    rows = [((0, 0, 0), (1, 0, 0), (0, 0, 1), rng.uniform(-100, 100, 2), _ground_colour(rng))]
    for box in boxes:
        colour = _PAINT[box.texture](rng)
        shift = rng.uniform(-100, 100, 2)
        for number in range(4):
            yaw_rad = box.yaw_rad + number * np.pi / 2
            out_m, half_m = [box.half_length_m, box.half_width_m][:: 1 if number % 2 == 0 else -1]
            corner = box.centre + out_m * _forward(yaw_rad) - half_m * _right(yaw_rad)
            edge = 2 * half_m * _right(yaw_rad)
            light = 0.82 + 0.25 * float(_forward(yaw_rad) @ sun)
            # Sides of one box do not continue each other's pattern, so that an edge is seen.
            rows.append(
                (
                    (corner[0], -box.height_m, corner[1]),
                    (edge[0], 0, edge[1]),
                    (0, box.height_m, 0),
                    shift + 7.3 * number,
                    colour * light,
                )
            )
        corner = box.centre - box.half_length_m * _forward(box.yaw_rad) - box.half_width_m * _right(box.yaw_rad)
        across, along = (
            2 * box.half_width_m * _right(box.yaw_rad),
            2 * box.half_length_m * _forward(box.yaw_rad),
        )
        rows.append(
            (
                (corner[0], -box.height_m, corner[1]),
                (across[0], 0, across[1]),
                (along[0], 0, along[1]),
                shift + 31.7,
                colour * [[1.05], [1.0], [1.0], [0.0]],
            )
        )
    return Faces(*(np.array(column, np.float64) for column in zip(*rows)))


def _house_colour(rng: np.random.Generator) -> np.ndarray:
    return _colour(rng, saturation=(0.1, 0.6), value=(0.4, 0.8), contrast=(16, 30), window=rng.uniform(-60, 0))


def _thing_colour(rng: np.random.Generator) -> np.ndarray:
    return _colour(rng, saturation=(0.2, 0.85), value=(0.35, 0.9), contrast=(18, 34), window=0)


def _pavement_colour(rng: np.random.Generator) -> np.ndarray:
    return _colour(rng, saturation=(0.0, 0.2), value=(0.5, 0.7), contrast=(16, 26), window=0)


def _ground_colour(rng: np.random.Generator) -> np.ndarray:
    return _colour(rng, saturation=(0.0, 0.25), value=(0.3, 0.5), contrast=(20, 30), window=0)


_PAINT = {"house": _house_colour, "thing": _thing_colour, "pavement": _pavement_colour}


def _colour(
    rng: np.random.Generator,
    saturation: tuple[float, float],
    value: tuple[float, float],
    contrast: tuple[float, float],
    window: float,
) -> np.ndarray:
    mean = 255 * np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value)))
    pattern = rng.uniform(*contrast) * (0.6 + 0.8 * mean / mean.max())
    tint = rng.normal(0, 14, 3)
    return np.stack([mean, pattern, tint, window * (0.7 + 0.6 * rng.uniform(size=3))])


def _make_waves(rng: np.random.Generator) -> Waves:
    count = len(_WAVELENGTHS_M)
    length_m = _WAVELENGTHS_M * 2 ** rng.uniform(-0.5, 0.5, count)
    direction = rng.uniform(0, 2 * np.pi, count)
    vectors = 2 * np.pi / length_m[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    # The pattern has nearly equal contrast at every scale, so that near and far surfaces alike show structure a few
    # pixels wide; the tint lives in the coarse waves only.
    fine = length_m**0.3
    coarse = np.where(_WAVELENGTHS_M >= 2, 1.0, 0.0) * np.where(np.arange(count) % 2, 1.0, -1.0)
    amplitudes = np.stack([a / np.sqrt((a**2).sum() / 2) for a in (fine, coarse)], axis=-1)
    return Waves(vectors, rng.uniform(0, 2 * np.pi, count), amplitudes)


def _smooth_walk(rng: np.random.Generator, frames: int) -> np.ndarray:
    """[frames] within [-1, 1]: two slow waves of 15 to 60 frames."""
    periods = rng.uniform([15, 30], [30, 60])
    return 0.5 * np.sin(2 * np.pi * (np.arange(frames)[:, None] / periods + rng.uniform(0, 1, 2))).sum(axis=-1)


def _at(path: Path, length_m: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Position [..., 2] and heading [...] that far along the path."""
    position = np.stack([np.interp(length_m, path.length_m, path.position[:, k]) for k in range(2)], axis=-1)
    return position, np.interp(length_m, path.length_m, path.yaw_rad)


def _forward(yaw_rad: np.ndarray | float) -> np.ndarray:
    return np.stack([np.sin(yaw_rad), np.cos(yaw_rad)], axis=-1)


def _right(yaw_rad: np.ndarray | float) -> np.ndarray:
    return np.stack([np.cos(yaw_rad), -np.sin(yaw_rad)], axis=-1)


def _rotation(angle_rad: np.ndarray, first: int, second: int) -> np.ndarray:
    """[n, 3, 3]: turns axis `first` towards axis `second`."""
    matrix = np.tile(np.eye(3), (len(angle_rad), 1, 1))
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle_rad)
    matrix[:, second, first] = np.sin(angle_rad)
    matrix[:, first, second] = -np.sin(angle_rad)
    return matrix


def _yaw(angle_rad: np.ndarray) -> np.ndarray:
    return _rotation(angle_rad, 2, 0)


def _pitch(angle_rad: np.ndarray) -> np.ndarray:
    return _rotation(angle_rad, 1, 2)


def _roll(angle_rad: np.ndarray) -> np.ndarray:
    return _rotation(angle_rad, 0, 1)
