"""Cars that move through a generated street: one lane drives along with the camera, one faster, one towards it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sfmlearner_tf.data.synthetic import FACES_OF_BOX, Box, Scene, add_boxes, drive_along, paint
from sfmlearner_tf.data.synthetic_path import at, right, yaw_matrix

# A lane has places of this length, each with a car or without.
_PLACE_M = 14.0
# How far the next car in the camera's own lane is ahead, its middle.
_NEAREST_AHEAD_M = 8.0
_SIGHT_M = 80.0
_CAR_M = np.array([4.2, 1.8, 1.5])  # length, width, height
LARGEST_NUMBER = 255  # of a car, as masks are uint8


class Lane(NamedTuple):
    """A lane and how its cars drive.

    kind: "along" at the camera's own speed, "overtaking" or "oncoming".
    offset: to the right of the centre line, in half widths of the road.
    steps: of a car in steps of the camera; below 0 it comes towards it.
    """

    kind: str
    offset: float
    steps: float


LANES = (Lane("along", 0.0, 1.0), Lane("overtaking", 0.55, 1.6), Lane("oncoming", -0.55, -1.2))


class Car(NamedTuple):
    """A car through all frames of a drive.

    number: from 1 on, that of its pixels in masks.
    kind: of its lane.
    size_m: [3], length, width and height.
    position: [n, 2] world x, z of its middle, metres.
    yaw_rad: [n], where it heads.
    is_there: [n], false before it has come to the street and after it has left.
    shift, colour: of its texture, see `Faces`.
    """

    number: int
    kind: str
    size_m: np.ndarray
    position: np.ndarray
    yaw_rad: np.ndarray
    is_there: np.ndarray
    shift: np.ndarray
    colour: np.ndarray

    def box(self, frame: int) -> Box:
        """The car as a box at a frame."""
        length_m, width_m, height_m = self.size_m
        return Box(self.position[frame], float(self.yaw_rad[frame]), length_m / 2, width_m / 2, height_m, "thing")

    def world_T_car(self, frame: int) -> np.ndarray:
        """The pose [4, 4] of the car: x to its right, y down, z ahead, from the middle of its underside."""
        pose = np.eye(4)
        pose[:3, :3] = yaw_matrix(self.yaw_rad[frame : frame + 1])[0]
        pose[[0, 2], 3] = self.position[frame]
        return pose


def make_traffic(scene: Scene, traffic: float) -> list[Car]:
    """The cars of a street; the street itself stays as it is without them.

    Args:
        traffic: share of the places of each lane that have a car, 0 to 1.
    """
    rng = np.random.default_rng([scene.seed, 2])
    camera_m = drive_along(scene)
    cars: list[Car] = []
    for lane in LANES:
        for start_m in _places(lane, camera_m):
            drawn = rng.uniform(size=4)
            size_m, colour = _CAR_M * rng.uniform(0.9, 1.15, 3), paint(rng, "thing")
            if drawn[0] >= traffic or len(cars) == LARGEST_NUMBER:
                continue
            # All cars of a lane keep their distance.
            length_m = start_m + 4 * drawn[1] + lane.steps * camera_m
            position, yaw_rad = at(scene.path, length_m)
            offset_m = scene.road_half_width_m * lane.offset + 0.3 * (drawn[2] - 0.5)
            heading = yaw_rad if lane.steps > 0 else yaw_rad + np.pi
            position = position + offset_m * right(yaw_rad)
            shift = np.array([100 * drawn[3], 100 * drawn[1]])
            is_there = (length_m > scene.path.length_m[0]) & (length_m < scene.path.length_m[-1])
            cars.append(Car(len(cars) + 1, lane.kind, size_m, position, heading, is_there, shift, colour))
    return cars


def _places(lane: Lane, camera_m: np.ndarray) -> np.ndarray:
    """Where the places of a lane begin at the first frame, metres along the road; each is in sight at some frame."""
    travelled_m = (1 - lane.steps) * camera_m[-1]  # by the camera, as a car of the lane sees it
    first_m, last_m = min(0.0, travelled_m), max(0.0, travelled_m) + _SIGHT_M
    if lane.kind == "along":
        first_m = _NEAREST_AHEAD_M
    return np.arange(first_m, last_m, _PLACE_M)


def scene_at(scene: Scene, cars: list[Car], frame: int) -> tuple[Scene, np.ndarray]:
    """The street with its cars as they stand at a frame.

    Returns:
        The scene, and for each of its faces the number of the car that it is of, uint8, 0 for the street.
    """
    there = [car for car in cars if car.is_there[frame]]
    street = np.zeros(len(scene.faces.corner), np.uint8)
    if not there:
        return scene, street
    scene = add_boxes(scene, [(car.box(frame), car.shift, car.colour) for car in there])
    numbers = np.repeat(np.array([car.number for car in there], np.uint8), FACES_OF_BOX)
    return scene, np.concatenate([street, numbers])


def objects_text(cars: list[Car], world_T_cam: np.ndarray) -> str:
    """A CSV with the exact place of each car in the camera's frame at each frame: the first three rows of cam_T_car.

    From frame a to frame b a car's points move by cam_T_car(b) @ inverse(cam_T_car(a)), the camera's motion included.
    """
    columns = [f"cam_T_car_{row}{column}" for row in range(3) for column in range(4)]
    lines = [",".join(["frame", "car", "kind", "length_m", "width_m", "height_m", *columns])]
    for frame, pose in enumerate(world_T_cam):
        cam_T_world = np.linalg.inv(pose)
        for car in (car for car in cars if car.is_there[frame]):
            numbers = [*car.size_m, *(cam_T_world @ car.world_T_car(frame))[:3].ravel()]
            lines.append(",".join([str(frame), str(car.number), car.kind, *(f"{number:.9g}" for number in numbers)]))
    return "\n".join(lines) + "\n"
