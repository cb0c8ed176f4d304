"""Moving cars of the generated world: where they drive, and that masks, depth and their places agree."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from sfmlearner_tf.data.synthetic import MEAN_STEP_M, intrinsics, make_scene, trajectory
from sfmlearner_tf.data.synthetic_render import cast_centres, render_depth, render_image
from sfmlearner_tf.data.synthetic_traffic import LANES, make_traffic, objects_text, scene_at

HEIGHT, WIDTH, FRAMES = 64, 208, 30
CAMERA = intrinsics(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def scene():
    return make_scene(seed=1, frames=FRAMES)


@pytest.fixture(scope="module")
def cars(scene):
    return make_traffic(scene, 0.4)


@pytest.fixture(scope="module")
def world_T_cam(scene):
    return trajectory(scene)


def look(scene, cars, world_T_cam, frame):
    """Depth [H, W], the number of the car at each pixel, and the picture."""
    street, numbers = scene_at(scene, cars, frame)
    view = np.linalg.inv(world_T_cam[frame]), CAMERA, HEIGHT, WIDTH
    face = cast_centres(street, *view).face
    return render_depth(street, *view), np.where(face < 0, 0, numbers[face]), render_image(street, *view)


def lift(depth, chosen):
    """The points [3, n] of the chosen pixels."""
    rows, columns = np.nonzero(chosen)
    return np.linalg.inv(CAMERA) @ np.stack([columns, rows, np.ones_like(rows)]) * depth[rows, columns]


def place(car, world_T_cam, frame):
    return np.linalg.inv(world_T_cam[frame]) @ car.world_T_car(frame)


def test_without_traffic_the_street_is_empty(scene):
    assert make_traffic(scene, 0.0) == []
    street, numbers = scene_at(scene, [], 0)
    assert street is scene
    assert len(numbers) == len(scene.faces.corner)
    assert not numbers.any()


def test_equal_seeds_give_equal_cars_and_more_traffic_more_of_them(scene, cars):
    again = make_traffic(scene, 0.4)
    assert [car.number for car in again] == list(range(1, len(cars) + 1))
    for one, other in zip(cars, again):
        np.testing.assert_array_equal(one.position, other.position)
    counts = [len(make_traffic(make_scene(seed, FRAMES), share)) for share in (0.1, 0.3, 1.0) for seed in range(5)]
    few, some, all_places = (sum(counts[start : start + 5]) for start in (0, 5, 10))
    assert few < some < all_places
    assert 0.2 < some / all_places < 0.4


def test_lanes_keep_their_speed(scene, cars, world_T_cam):
    assert {car.kind for car in cars} == {lane.kind for lane in LANES}

    def along_m(position):
        """How far along the road the point of it is that is nearest."""
        return scene.path.length_m[np.linalg.norm(scene.path.position - position, axis=1).argmin()]

    camera_m = along_m(world_T_cam[-1, [0, 2], 3]) - along_m(world_T_cam[0, [0, 2], 3])
    assert camera_m == pytest.approx(MEAN_STEP_M * (FRAMES - 1), rel=0.2)
    steps = {lane.kind: lane.steps for lane in LANES}
    for car in cars:
        assert along_m(car.position[-1]) - along_m(car.position[0]) == pytest.approx(
            steps[car.kind] * camera_m, abs=0.3
        )
        # It heads where it goes.
        ahead = car.world_T_car(0)[:3, 2]
        assert ahead[[0, 2]] @ (car.position[-1] - car.position[0]) > 0


def test_no_car_touches_the_camera(cars, world_T_cam):
    for frame in range(FRAMES):
        for car in cars:
            car_T_cam = np.linalg.inv(place(car, world_T_cam, frame))
            length_m, width_m, _ = car.size_m
            beside = max(abs(car_T_cam[0, 3]) - width_m / 2, abs(car_T_cam[2, 3]) - length_m / 2)
            assert beside > 0.4, (frame, car.number)


def test_the_pixels_of_a_car_lie_on_it(scene, cars, world_T_cam):
    seen = set()
    for frame in (0, FRAMES - 1):
        depth, numbers, _ = look(scene, cars, world_T_cam, frame)
        for car in cars:
            points = lift(depth, numbers == car.number)
            seen |= {car.kind} if points.size else set()
            pose = np.linalg.inv(place(car, world_T_cam, frame))
            x, y, z = pose[:3, :3] @ points + pose[:3, 3:]
            length_m, width_m, height_m = car.size_m
            outside = np.stack([np.abs(x) - width_m / 2, np.abs(z) - length_m / 2, -y - height_m, y])
            assert (outside < 1e-6).all(), (frame, car.number)
            # On its surface, not within.
            assert (outside[:3].max(axis=0) > -1e-6).all()
    assert seen == {lane.kind for lane in LANES}


def test_their_motion_explains_the_next_picture(scene, cars, world_T_cam):
    """Pixels of a car, moved as it moves, meet the same colours; moved as the street does, they do not."""
    depth, numbers, picture = look(scene, cars, world_T_cam, 10)
    _, _, later = look(scene, cars, world_T_cam, 13)
    ego = np.linalg.inv(world_T_cam[13]) @ world_T_cam[10]
    errors = []
    for car in cars:
        # Pixels amid it, where it is large enough.
        inside = numbers == car.number
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            inside &= np.roll(numbers, shift, axis) == car.number
        if inside.sum() < 150:
            continue
        own = place(car, world_T_cam, 13) @ np.linalg.inv(place(car, world_T_cam, 10))
        for motion in (own, ego):
            points = CAMERA @ (motion[:3, :3] @ lift(depth, inside) + motion[:3, 3:])
            x, y = np.rint(points[:2] / points[2]).astype(int)
            within = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
            apart = picture[inside][within].astype(float) - later[y[within], x[within]]
            errors.append(np.abs(apart).mean())
    assert len(errors) >= 2
    assert np.mean(errors[::2]) < 0.4 * np.mean(errors[1::2])


def test_the_table_of_objects_holds_their_places(scene, cars, world_T_cam):
    rows = list(csv.DictReader(io.StringIO(objects_text(cars, world_T_cam))))
    assert len(rows) == len(cars) * FRAMES
    row, car = rows[len(cars) + 1], cars[1]
    assert (row["frame"], row["car"], row["kind"]) == ("1", "2", car.kind)
    np.testing.assert_allclose(
        [float(row[f"{name}_m"]) for name in ("length", "width", "height")], car.size_m, rtol=1e-8
    )
    found = [[float(row[f"cam_T_car_{i}{j}"]) for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(found, place(car, world_T_cam, 1)[:3], rtol=1e-6, atol=1e-8)


def test_cars_beyond_the_ends_of_the_street_are_not_there():
    scene = make_scene(seed=3, frames=300)
    cars = make_traffic(scene, 0.4)
    there = np.array([car.is_there for car in cars])
    assert there.any(axis=0).all()
    assert not there.all()
    leaving = next(car for car in cars if not car.is_there[0])
    street, numbers = scene_at(scene, cars, 0)
    assert leaving.number not in numbers
    assert len(numbers) == len(street.faces.corner) == len(scene.faces.corner) + 5 * there[:, 0].sum()
