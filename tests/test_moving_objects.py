"""Whole objects that move: what each network sees, where their points go, and what their size says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from sfmlearner_tf import Batch, SfMLearner, TrainConfig
from sfmlearner_tf.losses.moving_objects import blank_objects, find_object_motion
from sfmlearner_tf.losses.object_size import object_size_loss
from sfmlearner_tf.losses.objective import make_terms
from sfmlearner_tf.losses.term import add_up, compute_means
from sfmlearner_tf.losses.view import make_views
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion, ObjectMotion

HEIGHT, WIDTH, EXAMPLES, SOURCES, OBJECTS = 8, 12, 2, 2, 3
CAMERA = np.float64([[9, 0, 5.2], [0, 8, 3.7], [0, 0, 1]])


def make_numbers():
    """Object 1 and 2 in the first example, 2 and 3 in the second; each lies elsewhere in each frame."""
    numbers = np.zeros((EXAMPLES, HEIGHT, WIDTH, 1 + SOURCES), np.uint8)
    for frame in range(1 + SOURCES):
        numbers[0, 1:5, 1 + frame : 5 + frame, frame], numbers[0, 5:7, 6:10, frame] = 1, 2
        numbers[1, 0:3, 2:6, frame], numbers[1, 4:8, 5 - frame : 11 - frame, frame] = 2, 3
    return numbers


def make_scene(seed=0):
    random = np.random.RandomState(seed)
    target, sources = (random.uniform(-1, 1, (EXAMPLES, HEIGHT, WIDTH, channels)) for channels in (3, 6))
    disparity = random.uniform(0.2, 0.4, (EXAMPLES, HEIGHT, WIDTH, 1))
    poses = random.uniform(-0.2, 0.2, (EXAMPLES, SOURCES, 6))
    objects = random.uniform(-0.2, 0.2, (EXAMPLES, OBJECTS, SOURCES, 6))
    return [tf.constant(values) for values in (target, sources, disparity, poses, objects)]


def view_of(target, sources, disparity, poses, objects, height=0.3):
    numbers = tf.constant(make_numbers())
    motion = ExtendedMotion(poses, (), objects=(ObjectMotion(objects, numbers, tf.constant(height, objects.dtype)),))
    batch = Batch(target, sources, tf.constant(np.tile(CAMERA, (EXAMPLES, 1, 1))), {"objects": numbers})
    (view,) = make_views(batch, [disparity], motion)
    return view


def transform(pose, points):
    return points @ Rotation.from_euler("XYZ", pose[3:]).as_matrix().T + pose[:3]


def test_points_of_an_object_move_with_it_and_then_with_the_camera():
    """Against NumPy; all other points move with the camera alone."""
    scene = make_scene()
    view = view_of(*scene)
    _, _, disparity, poses, objects = (values.numpy() for values in scene)
    numbers = make_numbers()[..., 0]
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(CAMERA).T
    for example in range(EXAMPLES):
        points = rays / disparity[example]
        for source in range(SOURCES):
            moved = points.copy()
            for number in range(1, OBJECTS + 1):
                where = numbers[example] == number
                moved[where] = transform(objects[example, number - 1, source], points[where])
            x, y, z = np.moveaxis(transform(poses[example, source], moved) @ CAMERA.T, -1, 0)
            place = EXAMPLES * source + example
            np.testing.assert_allclose(view.z[place, ..., 0], z)
            np.testing.assert_allclose(view.x[place], x / z)
            np.testing.assert_allclose(view.y[place], y / z)


def test_an_object_that_stands_still_changes_nothing():
    target, sources, disparity, poses, objects = make_scene()
    view = view_of(target, sources, disparity, poses, 0 * objects)
    batch = Batch(target, sources, tf.constant(np.tile(CAMERA, (EXAMPLES, 1, 1))))
    (plain,) = make_views(batch, [disparity], Motion(poses))
    np.testing.assert_allclose(view.warped, plain.warped, atol=1e-12)


def test_the_gradient_of_an_objects_motion_equals_finite_differences():
    *scene, objects = make_scene()
    weights = tf.constant(np.random.RandomState(1).normal(size=(SOURCES * EXAMPLES, HEIGHT, WIDTH, 1)))

    def cost(values):
        return tf.reduce_sum(weights * view_of(*scene, values).z)

    with tf.GradientTape() as tape:
        tape.watch(objects)
        value = cost(objects)
    gradient = tape.gradient(value, objects).numpy()
    assert not gradient[0, 2].any()  # there is no third object in the first example
    assert np.abs(gradient[0, :2]).max() > 0.1
    for index in [(0, 0, 0, 2), (0, 1, 1, 3), (1, 1, 0, 4), (1, 2, 1, 0)]:
        step = np.zeros(objects.shape)
        step[index] = 1e-6
        numeric = (cost(objects + step) - cost(objects - step)) / 2e-6
        assert gradient[index] == pytest.approx(float(numeric), rel=1e-5, abs=1e-8)


def test_the_size_of_objects_by_hand():
    target, sources, disparity, poses, objects = make_scene()
    height = 0.3
    numbers, depth = make_numbers()[..., 0], 1 / disparity.numpy()[..., 0]
    rows = {(0, 1): 4, (0, 2): 2, (1, 2): 3, (1, 3): 4}
    apart = [
        np.abs(depth[example] - CAMERA[1, 1] * height / count)[numbers[example] == number] / depth[example].mean()
        for (example, number), count in rows.items()
    ]
    (found,) = object_size_loss([view_of(target, sources, disparity, poses, objects, height)])
    assert float(found.value()) == pytest.approx(np.concatenate(apart).mean())


def test_the_size_of_objects_teaches_depth_and_height():
    target, sources, disparity, poses, objects = make_scene()
    height = tf.constant(0.3, tf.float64)

    def cost(disparity, height):
        (found,) = object_size_loss([view_of(target, sources, disparity, poses, objects, height)])
        return found.value()

    with tf.GradientTape() as tape:
        tape.watch([disparity, height])
        value = cost(disparity, height)
    of_disparity, of_height = tape.gradient(value, [disparity, height])
    numeric = (cost(disparity, height + 1e-6) - cost(disparity, height - 1e-6)) / 2e-6
    assert float(of_height) == pytest.approx(float(numeric), rel=1e-6)
    for index in [(0, 2, 2, 0), (1, 5, 6, 0), (0, 0, 0, 0)]:
        step = np.zeros(disparity.shape)
        step[index] = 1e-6
        numeric = (cost(disparity + step, height) - cost(disparity - step, height)) / 2e-6
        assert float(of_disparity[index]) == pytest.approx(float(numeric), rel=1e-5, abs=1e-9)


def test_without_objects_their_size_costs_nothing():
    target, sources, disparity, poses, objects = make_scene()
    numbers = tf.zeros([EXAMPLES, HEIGHT, WIDTH, 3], tf.uint8)
    motion = ExtendedMotion(poses, (), objects=(ObjectMotion(objects, numbers, tf.constant(0.3, tf.float64)),))
    batch = Batch(target, sources, tf.constant(np.tile(CAMERA, (EXAMPLES, 1, 1))))
    (found,) = object_size_loss(make_views(batch, [disparity], motion))
    assert float(found.value()) == 0


def test_the_cameras_network_sees_no_object():
    target, sources, *_ = make_scene()
    numbers = make_numbers()
    blank = blank_objects(Batch(target, sources, None, {"objects": tf.constant(numbers)}))
    free = (numbers == 0).all(axis=-1, keepdims=True)
    assert 0.2 < free.mean() < 0.8
    np.testing.assert_array_equal(blank.target, np.where(free, target, 0))
    np.testing.assert_array_equal(blank.sources, np.where(free, sources, 0))


class Watching:
    """In place of the network: keeps what it is given."""

    height = 0.1

    def see_objects(self, *given):
        self.target, self.sources, self.objects, self.count = given
        return tf.zeros([EXAMPLES, self.count, SOURCES, 6], tf.float64)


def test_the_objects_network_sees_sources_and_masks_warped_as_if_nothing_moved():
    target, sources, disparity, poses, _ = make_scene()
    numbers, network = make_numbers(), Watching()
    images = Batch(target, sources, tf.constant(np.tile(CAMERA, (EXAMPLES, 1, 1))), {"objects": tf.constant(numbers)})
    with tf.GradientTape() as tape:
        tape.watch(disparity)
        found = find_object_motion(network, images, disparity, Motion(poses), count=2)
        seen = tf.reduce_sum(network.sources) + tf.reduce_sum(network.objects)
    assert tape.gradient(seen, disparity) is None
    (still,) = make_views(images._replace(extras={}), [disparity], Motion(poses))
    np.testing.assert_allclose(network.sources, still.warped)
    by_object = np.stack([numbers == number for number in (1, 2)], axis=-1).astype(float)  # [B, H, W, 1 + N, 2]
    np.testing.assert_array_equal(network.objects[:EXAMPLES], by_object[:, :, :, 0])
    warped = still.sample(tf.constant(np.concatenate([by_object[:, :, :, 1], by_object[:, :, :, 2]])))
    np.testing.assert_allclose(network.objects[EXAMPLES:], warped, rtol=1e-5)
    # The third is part of the background.
    assert set(np.unique(found.objects[0].numbers)) == {0, 1, 2}


def make_learner(**options):
    size = {"batch_size": 2, "img_height": 32, "img_width": 64, "num_scales": 2, "max_objects": 2}
    return SfMLearner(TrainConfig(**size, object_motion=True, object_size_weight=0.1, **options))


def make_batch():
    random = np.random.RandomState(4)
    pictures = [tf.constant(random.randint(0, 256, (2, 32, 64, channels), np.uint8)) for channels in (3, 6)]
    camera = tf.constant([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    objects = np.zeros((2, 32, 64, 3), np.uint8)
    objects[0, 8:24, 16:40], objects[1, 4:12, 4:12], objects[1, 20:30, 30:50] = 1, 2, 1
    return Batch(*pictures, camera, {"objects": tf.constant(objects)})


@pytest.mark.usefixtures("small_depth_network")
@pytest.mark.parametrize("pose_network", ["posenet", "pairnet"])
def test_a_step_trains_all_three_networks_and_comes_back(tmp_path, pose_network):
    learner, batch = make_learner(pose_network=pose_network), make_batch()
    before = {name: variable.numpy() for name, variable in learner.release_variables().items()}
    losses = [learner.train_step(batch) for _ in range(3)]
    assert np.isfinite([float(value) for step in losses for value in step.values()]).all()
    assert float(losses[0]["object_size"]) > 0
    after = {name: variable.numpy() for name, variable in learner.release_variables().items()}
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    for name in ("depth_net", "pose_exp_net", "object_motion_net"):
        assert any(known.startswith(name) for known in moved)
    assert "object_motion_net/height/height" in moved
    assert before["object_motion_net/height/height"] == pytest.approx(0.1)
    path = learner.save(str(tmp_path))
    again = make_learner(pose_network=pose_network)
    assert again.restore(path)
    for name, variable in again.release_variables().items():
        np.testing.assert_array_equal(variable, after[name])
    # The other way around: each object alone decides its own motion.
    (view, *_) = again.compute(batch).views
    assert view.objects.poses.shape == (2, 2, 2, 6)
    motion = view.object_motion.numpy().reshape(2, 2, 32, 64, 3)
    assert np.abs(motion[:, 0, 8:24, 16:40]).max() > 0
    motion[:, 0, 8:24, 16:40] = motion[:, 1, 4:12, 4:12] = motion[:, 1, 20:30, 30:50] = 0
    assert not motion.any()


@pytest.mark.usefixtures("small_depth_network")
def test_an_objects_motion_follows_from_its_own_pixels():
    learner, batch = make_learner(), make_batch()
    for name, variable in learner.object_net.release_variables().items():
        if name.endswith("weights"):
            variable.assign(2 * variable)

    def poses(batch):
        return learner.compute(batch).views[0].objects.poses.numpy()

    plain = poses(batch)
    changed = batch.target.numpy()
    changed[1, 4:12, 4:12] = 255 - changed[1, 4:12, 4:12]
    other = poses(batch._replace(target=tf.constant(changed)))
    assert np.abs(other[1, 1] - plain[1, 1]).max() > 0
    np.testing.assert_array_equal(other[0], plain[0])


def test_the_preset_asks_for_it():
    config = TrainConfig.from_preset("object_motion")
    assert config.object_motion
    assert config.needs_objects
    assert "object_size" in [term.name for term in make_terms(config)]


def test_terms_add_up_over_views_of_several_scales():
    """The size counts once, at full size."""
    target, sources, disparity, poses, objects = make_scene()
    view = view_of(target, sources, disparity, poses, objects)
    terms = [term for term in make_terms(TrainConfig.from_preset("object_motion")) if term.name == "object_size"]
    one, two = (add_up(compute_means(terms, views)) for views in ([view], [view, replace(view, scale=1)]))
    assert float(one["total"]) == pytest.approx(float(two["total"]))
