"""What moves by itself: the field, the warp with it, and the terms of the objective that go with it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from sfmlearner_tf import Batch, SfMLearner, TrainConfig
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.losses.cycle import rotation_cycle_loss, translation_cycle_loss
from sfmlearner_tf.losses.geometry_consistency import geometry_consistency_loss
from sfmlearner_tf.losses.motion_field import sparsity_loss, total_variation_loss
from sfmlearner_tf.losses.objective import make_terms
from sfmlearner_tf.losses.photometric import depth_agreement, photometric_loss, structural_similarity
from sfmlearner_tf.losses.term import add_up, compute_means
from sfmlearner_tf.losses.view import make_views, turn_around
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion
from sfmlearner_tf.networks.pair_net import PairNet
from sfmlearner_tf.networks.resnet_pose import ResNet18Pose

HEIGHT, WIDTH, EXAMPLES = 8, 12, 2


def make_scene(seed=0, moves=0.15, examples=EXAMPLES):
    """The view of a scene of two sources and the one turned around, with all that they are made of."""
    random = np.random.RandomState(seed)
    target, sources = (random.uniform(-1, 1, (examples, HEIGHT, WIDTH, channels)) for channels in (3, 6))
    camera = np.tile(np.float64([[9, 0, 5.2], [0, 8, 3.7], [0, 0, 1]]), (examples, 1, 1))
    disparity, source_disparity = (random.uniform(0.2, 0.4, (count * examples, HEIGHT, WIDTH, 1)) for count in (1, 2))
    poses, reverse = random.uniform(-0.2, 0.2, (2, examples, 2, 6))
    fields = random.uniform(-moves, moves, (2, 2 * examples, HEIGHT, WIDTH, 3))
    return [
        tf.constant(values)
        for values in (target, sources, camera, disparity, source_disparity, poses, reverse, *fields)
    ]


def views_of(target, sources, camera, disparity, source_disparity, poses, reverse, *fields):
    motion = ExtendedMotion(poses, (), (reverse,), (), fields)
    (view,) = make_views(Batch(target, sources, camera), [disparity], motion, source_disparities=[source_disparity])
    return view, turn_around(view, motion)


def matrix(pose):
    return Rotation.from_euler("XYZ", pose[3:]).as_matrix()


def test_points_move_with_the_camera_and_by_themselves():
    """Against NumPy, in both directions."""
    scene = make_scene()
    there, back = views_of(*scene)
    _, _, camera, disparity, source_disparity, poses, reverse, *fields = (values.numpy() for values in scene)
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    for view, depths, pose_of, field in (
        (there, disparity, poses, fields[0]),
        (back, source_disparity, reverse, fields[1]),
    ):
        for example in range(EXAMPLES):
            for source in range(2):
                place = EXAMPLES * source + example
                depth = 1 / depths[place if view is back else example]
                points = depth * (pixels @ np.linalg.inv(camera[example]).T)
                pose = pose_of[example, source]
                moved = points @ matrix(pose).T + pose[:3] + field[place]
                x, y, z = np.moveaxis(moved @ camera[example].T, -1, 0)
                np.testing.assert_allclose(view.x[place], x / z)
                np.testing.assert_allclose(view.y[place], y / z)
                np.testing.assert_allclose(view.z[place, ..., 0], z)
    still, _ = views_of(*make_scene(moves=0))
    *parts, _, _ = make_scene(moves=0)
    plain, _ = views_of(*parts)
    assert plain.object_motion is None
    np.testing.assert_allclose(still.warped, plain.warped, atol=1e-12)


def test_with_masks_nothing_but_objects_moves_by_itself():
    *_, poses, reverse, there, back = make_scene()
    motion = ExtendedMotion(poses, (), (reverse,), (), (there, back))
    objects = np.random.RandomState(3).choice([0, 0, 1, 7], (EXAMPLES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    confined = motion.confined_to(tf.constant(objects))
    assert confined.poses is poses
    for source in range(2):
        for example in range(EXAMPLES):
            place = EXAMPLES * source + example
            # Objects of the target move on the way there, those of the source on the way back.
            for field, before, frame in zip(confined.fields, (there, back), (0, 1 + source)):
                expected = np.where(objects[example, ..., frame : frame + 1] > 0, before[place], 0)
                np.testing.assert_array_equal(field[place], expected)


@pytest.mark.usefixtures("small_depth_network")
def test_training_with_masks_moves_objects_alone():
    options = {"batch_size": 2, "img_height": 32, "img_width": 64, "num_scales": 2}
    config = TrainConfig(**options, pose_network="pairnet", motion_field=True, object_masks=True)
    learner = SfMLearner(config)
    random = np.random.RandomState(4)
    pictures = [tf.constant(random.randint(0, 256, (2, 32, 64, channels), np.uint8)) for channels in (3, 6)]
    camera = tf.constant([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    objects = np.zeros((2, 32, 64, 3), np.uint8)
    objects[0, 8:24, 16:40] = 1
    batch = Batch(*pictures, camera, {"objects": tf.constant(objects)})
    for variable in learner.pose_exp_net.weights:
        if "field/refine0" in variable.name or "field/refine0" in getattr(variable, "path", ""):
            variable.assign(tf.random.stateless_uniform(variable.shape, [1, 2], -0.5, 0.5))
    motion = learner.compute(batch).views[0].object_motion.numpy().reshape(2, 2, 32, 64, 3)
    assert np.abs(motion[:, 0, 8:24, 16:40]).min(axis=-1).max() > 0
    motion[:, 0, 8:24, 16:40] = 0
    assert not motion.any()
    losses = learner.train_step(batch)
    assert np.isfinite(losses["total"])


def test_terms_of_the_field_by_hand():
    scene = make_scene()
    field = np.zeros((2 * EXAMPLES, HEIGHT, WIDTH, 3))
    field[:, :, :3, 0] = 0.4  # a quarter of each image moves to the right
    scene[-2] = tf.constant(field)
    there, _ = views_of(*scene)
    (sparsity,) = sparsity_loss([there])
    usual = 0.1
    expected = 2 * usual * (0.25 * np.sqrt(5) + 0.75)
    # Of the other two components nothing moves. There are two sources.
    np.testing.assert_allclose(sparsity.value(), 2 * expected, rtol=1e-4)
    variation = add_up({"": total_variation_loss([there])})[""]
    jump = 0.4 / np.sqrt(0.25 * 0.4**2)
    # One of eleven differences along x.
    np.testing.assert_allclose(variation, 2 * jump / (WIDTH - 1), rtol=1e-6)
    # As much motion everywhere costs more, and a motion twice as large twice as much.
    scene[-2] = tf.constant(np.full_like(field, 1.0) * [0.1, 0, 0])
    spread, _ = views_of(*scene)
    assert float(sparsity_loss([spread])[0].value()) > 1.05 * float(sparsity.value())
    scene[-2] = tf.constant(2 * field)
    double, _ = views_of(*scene)
    np.testing.assert_allclose(sparsity_loss([double])[0].value(), 2 * sparsity.value(), rtol=1e-4)


def test_terms_of_the_field_equal_numpy_in_both_directions():
    scene = make_scene(seed=1)
    views = views_of(*scene)
    sparsity = [float(mean.value()) for mean in sparsity_loss(views)]
    variation = float(add_up({"": total_variation_loss(views)})[""])
    expected_variation = 0
    for found, field in zip(sparsity, (values.numpy() for values in scene[-2:])):
        usual = np.abs(field).mean(axis=(1, 2), keepdims=True)
        cost = (2 * usual * np.sqrt(1 + np.abs(field) / usual)).sum(axis=-1)
        np.testing.assert_allclose(found, 2 * cost.mean(), rtol=1e-4)
        relative = field / np.sqrt((field**2).sum(-1).mean(axis=(1, 2)))[:, None, None, None]
        for axis in (1, 2):
            expected_variation += 2 * np.abs(np.diff(relative, axis=axis)).sum(axis=-1).mean()
    np.testing.assert_allclose(variation, expected_variation, rtol=1e-4)


def test_visible_is_what_nothing_stands_before():
    scene = make_scene(seed=2)
    view, _ = views_of(*scene)
    sources = 1 / scene[4].numpy()[..., 0]
    for place in range(2 * EXAMPLES):
        x, y, z = view.x[place].numpy(), view.y[place].numpy(), view.z[place, ..., 0].numpy()
        inside = (x >= 0) & (x < WIDTH - 1) & (y >= 0) & (y < HEIGHT - 1) & (z > 0)
        before = map_coordinates(sources[place], [y, x], order=1, mode="nearest")
        expected = inside & (z < before)
        assert 0.1 < expected.mean() < 0.9
        np.testing.assert_array_equal(view.visible[place, ..., 0] > 0, expected)
    np.testing.assert_allclose(view.sampled_depth * (1 - view.in_view), 0)


def test_occlusion_aware_losses_equal_numpy():
    scene = make_scene(seed=3)
    view, _ = views_of(*scene)
    visible, in_view = view.visible.numpy(), view.in_view.numpy()
    target = np.tile(scene[0].numpy(), (2, 1, 1, 1))
    mismatch = view.depth_mismatch.numpy()
    (geometry,) = geometry_consistency_loss([view], occlusion_aware=True)
    np.testing.assert_allclose(geometry.value(), 2 * mismatch[visible > 0].mean())
    square = (view.z.numpy() - view.sampled_depth.numpy()) ** 2
    usual = (square * visible).sum(axis=(1, 2, 3)) / visible.sum(axis=(1, 2, 3))
    agreement = usual[:, None, None, None] / (usual[:, None, None, None] + square)
    np.testing.assert_allclose(depth_agreement(view), agreement, rtol=1e-6)
    difference = np.abs(view.warped - target)
    ssim = (1 - structural_similarity(view.warped, tf.constant(target)).numpy()) * agreement
    found = [float(mean.value()) for mean in photometric_loss([view], ssim_weight=0.3, occlusion_aware=True)]
    expected = [(0.7 * difference)[visible[..., 0] > 0].mean(), (0.3 * ssim)[in_view[..., 0] > 0].mean()]
    np.testing.assert_allclose(found, 2 * np.array(expected), rtol=1e-6)
    assert len(photometric_loss([view], occlusion_aware=True)) == 1


def test_cycles_cost_nothing_where_the_way_back_is_the_inverse():
    scene = make_scene(seed=4, moves=0)
    poses = scene[5].numpy()
    inverse = np.zeros_like(poses)
    for example in range(EXAMPLES):
        for source in range(2):
            rotation = matrix(poses[example, source])
            inverse[example, source, :3] = -rotation.T @ poses[example, source, :3]
            inverse[example, source, 3:] = Rotation.from_matrix(rotation.T).as_euler("XYZ")
    scene[6] = tf.constant(inverse)
    views = views_of(*scene)
    assert float(rotation_cycle_loss(views)[0].value()) < 1e-10
    # Where it is visible, a pixel falls on pixels that all move back as the camera does.
    assert float(translation_cycle_loss(views)[0].value()) < 1e-10
    scene[6] = -tf.constant(inverse)
    views = views_of(*scene)
    assert float(rotation_cycle_loss(views)[0].value()) > 0.5
    assert float(translation_cycle_loss(views)[0].value()) > 0.5


def test_cycles_equal_numpy():
    scene = make_scene(seed=5)
    views = views_of(*scene)
    poses, reverse, *fields = (values.numpy() for values in scene[5:])
    rotations, translations, counted = [], [], []
    for example in range(EXAMPLES):
        for source in range(2):
            place = EXAMPLES * source + example
            there, back = poses[example, source], reverse[example, source]
            forth, home = matrix(there), matrix(back)
            norm = [((values) ** 2).sum() for values in (home @ forth - np.eye(3), forth - np.eye(3), home - np.eye(3))]
            rotations.append(norm[0] / (norm[1] + norm[2]))
            moved = there[:3] + fields[0][place]
            x, y = views[0].x[place].numpy(), views[0].y[place].numpy()
            returns = np.stack(
                [
                    map_coordinates(back[axis] + fields[1][place, ..., axis], [y, x], order=1, mode="nearest")
                    for axis in range(3)
                ],
                axis=-1,
            )
            apart = ((moved @ home.T + returns) ** 2).sum(-1)
            translations.append(apart / ((moved**2).sum(-1) + (returns**2).sum(-1)))
            counted.append(views[0].visible[place, ..., 0].numpy() > 0)
    np.testing.assert_allclose(rotation_cycle_loss(views)[0].value(), 2 * np.mean(rotations), rtol=1e-6)
    expected = np.concatenate([values[where] for values, where in zip(translations, counted)]).mean()
    np.testing.assert_allclose(translation_cycle_loss(views)[0].value(), 2 * expected, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["object_sparsity", "object_smooth", "rotation_cycle", "translation_cycle", "geometry"]
)
def test_gradient_equals_finite_differences(name):
    """In float64; of the photometric terms with a field, test_scale_consistency.py has the like."""
    scene = make_scene(seed=6, examples=1)
    options = {f"{name}_weight": 1.0, "motion_field": True, "both_directions": True, "pose_network": "pairnet"}
    terms = make_terms(TrainConfig(**options))

    @tf.function
    def total(*learned):
        return add_up(compute_means(terms, views_of(*scene[:3], *learned)))[name]

    analytic, numeric = tf.test.compute_gradient(total, scene[3:], delta=1e-7)
    assert max(np.abs(gradient).max() for gradient in analytic) > 1e-3
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("network", [PairNet, ResNet18Pose])
def test_the_field_is_of_full_size_and_of_each_order(network):
    images = np.random.RandomState(0).randint(0, 256, (2, 33, 70, 9)).astype(np.uint8)
    target, sources = preprocess(tf.constant(images[..., :3])), preprocess(tf.constant(images[..., 3:]))
    net = network(2, both_orders=True, motion_field=True)
    motion = net(target, sources)
    assert [field.shape for field in motion.fields] == [(4, 33, 70, 3)] * 2
    assert np.std(motion.fields[0]) > 0
    # Source 2 of example 1, seen alone.
    alone = net(target[:1], tf.tile(sources[:1, ..., 3:], [1, 1, 1, 2]))
    np.testing.assert_allclose(motion.fields[0][2], alone.fields[0][0], atol=1e-6)
    plain = net.for_inference()(target, sources)
    assert isinstance(plain, Motion)
    np.testing.assert_allclose(plain.poses, motion.poses, rtol=1e-4, atol=1e-7)


def test_the_preset_learns():
    config = TrainConfig.from_preset("free_motion", img_height=32, img_width=64, batch_size=2, num_scales=2)
    learner = SfMLearner(config)
    images = np.random.RandomState(0).randint(0, 256, (2, 32, 64, 9)).astype(np.uint8)
    camera = np.float32([[[40, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    batch = Batch(tf.constant(images[..., :3]), tf.constant(images[..., 3:]), tf.constant(camera))
    names = [name for name in learner.release_variables() if "/field/" in name]
    before = {name: learner.release_variables()[name].numpy() for name in names}
    losses = [learner.train_step(batch) for _ in range(3)]
    assert {"object_sparsity", "object_smooth", "rotation_cycle", "translation_cycle", "geometry"} <= set(losses[0])
    assert np.isfinite([float(value) for value in losses[-1].values()]).all()
    moved = [name for name in names if np.any(before[name] != learner.release_variables()[name].numpy())]
    assert len(moved) == len(names) == 4 * 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motion_field": True}, "pose_network must be one of pairs with motion_field, such as pairnet, got 'posenet'"),
        ({"object_smooth_weight": 0.5}, "object_smooth_weight must be 0 without motion_field, got 0.5"),
        ({"rotation_cycle_weight": 0.5}, "rotation_cycle_weight must be 0 without both_directions, got 0.5"),
    ],
)
def test_options_that_need_others(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)
