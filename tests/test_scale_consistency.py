"""Depth of all frames at one scale: the views of both directions, the terms on them and the pair network."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from sfmlearner_tf import Batch, PoseExpNet, SfMLearner, TrainConfig, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.images import preprocess, stack_sources
from sfmlearner_tf.losses.geometry_consistency import geometry_consistency_loss
from sfmlearner_tf.losses.objective import make_terms
from sfmlearner_tf.losses.term import add_up, compute_means
from sfmlearner_tf.losses.view import make_views, turn_around
from sfmlearner_tf.networks.building import load_pose_network
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion
from sfmlearner_tf.networks.pair_net import PairNet

HEIGHT, WIDTH = 8, 12


def make_scene(seed=0, examples=2):
    """Two sources an example, all alike in nothing: images, cameras, depth and motion."""
    random = np.random.RandomState(seed)
    images = [random.uniform(-1, 1, (examples, HEIGHT, WIDTH, channels)) for channels in (3, 6)]
    intrinsics = np.tile(np.eye(3), (examples, 1, 1))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = random.uniform(8, 12, (2, examples))
    intrinsics[:, :2, 2] = random.uniform(3, 6, (examples, 2))
    disparities = [random.uniform(0.2, 0.4, (count * examples, HEIGHT, WIDTH, 1)) for count in (1, 2)]
    poses, reverse = random.uniform(-0.2, 0.2, (2, examples, 2, 6))
    return Batch(*map(tf.constant, (*images, intrinsics))), *map(tf.constant, (*disparities, poses, reverse))


def view_of(batch, disparity, source_disparity, poses):
    (view,) = make_views(batch, [disparity], Motion(poses), source_disparities=[source_disparity])
    return view


def project(depth, pose, camera):
    """x, y and z [H, W] of a frame's pixels in another camera, in NumPy."""
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    points = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(camera).T * depth[..., None]
    moved = points @ Rotation.from_euler("XYZ", pose[3:]).as_matrix().T + pose[:3]
    x, y, z = np.moveaxis(moved @ camera.T, -1, 0)
    return x / z, y / z, z


def mismatch_of(depth, other_depth, pose, camera):
    """The differences of two frames' depths [H, W] and where they count, in NumPy."""
    x, y, z = project(depth, pose, camera)
    inside = (x >= 0) & (x < WIDTH - 1) & (y >= 0) & (y < HEIGHT - 1) & (z > 0)
    sampled = map_coordinates(other_depth, [y, x], order=1, mode="nearest")
    return np.abs(z - sampled) / (z + sampled), inside


def test_mismatch_by_hand():
    batch, *_ = make_scene(examples=1)
    # One unit ahead towards the first source, half a unit back to the second: depth 4 there is 3 and 4.5.
    poses = tf.constant([[[0.0, 0, -1, 0, 0, 0], [0, 0, 0.5, 0, 0, 0]]], tf.float64)
    disparity = tf.fill([1, HEIGHT, WIDTH, 1], tf.constant(0.25, tf.float64))
    first, second = (tf.fill([1, HEIGHT, WIDTH, 1], tf.constant(1 / depth, tf.float64)) for depth in (3.0, 9.0))
    view = view_of(batch, disparity, tf.concat([first, second], axis=0), poses)
    inside = view.in_view.numpy()[..., 0] > 0
    np.testing.assert_allclose(view.depth_mismatch[0][inside[0]], 0, atol=1e-9)
    np.testing.assert_allclose(view.depth_mismatch[1][inside[1]], 4.5 / 13.5)
    (mean,) = geometry_consistency_loss([view])
    # The sum over the sources of what all pixels in view have on average.
    np.testing.assert_allclose(mean.value(), 2 * (inside[1].sum() * 4.5 / 13.5) / inside.sum())


def test_geometry_loss_equals_numpy_in_both_directions():
    batch, disparity, source_disparity, poses, reverse = make_scene()
    view = view_of(batch, disparity, source_disparity, poses)
    back = turn_around(view, ExtendedMotion(poses, (), (reverse,)))
    expected = []
    for pose_of, flipped in ((poses, False), (reverse, True)):
        differences, counted = [], []
        for example in range(2):
            for source in range(2):
                near, far = 1 / disparity[example, ..., 0], 1 / source_disparity[2 * source + example, ..., 0]
                pair = (far.numpy(), near.numpy()) if flipped else (near.numpy(), far.numpy())
                found = mismatch_of(*pair, pose_of[example, source].numpy(), batch.intrinsics[example].numpy())
                differences.append(found[0][found[1]])
                counted.append(found[1])
        assert 0.3 < np.mean(counted) < 1
        expected.append(2 * np.concatenate(differences).mean())
    found = [float(mean.value()) for mean in geometry_consistency_loss([view, back])]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("known", [True, False], ids=["predicted", "inverted"])
def test_the_way_back_equals_numpy(known):
    batch, disparity, source_disparity, poses, reverse = make_scene(seed=1)
    motion = ExtendedMotion(poses, (), (reverse,)) if known else Motion(poses)
    back = turn_around(view_of(batch, disparity, source_disparity, poses), motion)
    for example in range(2):
        for source in range(2):
            place = 2 * source + example
            pose = reverse[example, source].numpy()
            if not known:
                forward = poses[example, source].numpy()
                rotation = Rotation.from_euler("XYZ", forward[3:]).inv()
                pose = np.concatenate([-rotation.apply(forward[:3]), rotation.as_euler("XYZ")])
            camera = batch.intrinsics[example].numpy()
            x, y, z = project(1 / source_disparity[place, ..., 0].numpy(), pose, camera)
            np.testing.assert_allclose(back.x[place], x)
            np.testing.assert_allclose(back.y[place], y)
            np.testing.assert_allclose(back.z[place, ..., 0], z)
            colours = batch.sources[example, ..., 3 * source : 3 * source + 3]
            np.testing.assert_array_equal(back.target[place], colours)
            np.testing.assert_array_equal(back.sources[place], batch.target[example])
            np.testing.assert_array_equal(back.source_disparity[place], disparity[example])


def test_behind_the_camera_nothing_counts():
    batch, disparity, source_disparity, *_ = make_scene(examples=1)
    # To the first source all points move behind the camera, where they project mirrored into the picture.
    poses = tf.constant([[[0.0, 0, -9, 0, 0, 0], [0, 0, 0.1, 0, 0, 0]]], tf.float64)
    view = view_of(batch, disparity, source_disparity, poses)
    assert np.mean(view.in_view[0]) > 0.1
    assert np.all(np.isfinite(view.depth_mismatch))
    inside = view.in_view[1].numpy() > 0
    (mean,) = geometry_consistency_loss([view])
    np.testing.assert_allclose(mean.value(), 2 * view.depth_mismatch[1].numpy()[inside].mean())


def test_one_unit_for_all_frames_is_free_and_one_for_a_single_frame_is_not():
    batch, _, _, poses, _ = make_scene(examples=1)
    poses *= 0.01
    flat = tf.ones([1, HEIGHT, WIDTH, 1], tf.float64) * 0.3
    losses = []
    for unit, source_unit in ((1.0, 1.0), (5.0, 5.0), (1.0, 1.5)):
        moved = tf.concat([poses[..., :3] * unit, poses[..., 3:]], axis=-1)
        view = view_of(batch, flat / unit, tf.tile(flat, [2, 1, 1, 1]) / source_unit, moved)
        losses.append(float(add_up({"geometry": geometry_consistency_loss([view])})["geometry"]))
    np.testing.assert_allclose(losses[1], losses[0])
    assert losses[2] > 10 * losses[0]


def losses_of(views, **options):
    return add_up(compute_means(make_terms(TrainConfig(**options)), views))


def test_the_mask_weighs_the_error_and_learns_only_where_asked():
    batch, disparity, source_disparity, poses, _ = make_scene(seed=2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(source_disparity)
        view = view_of(batch, disparity, source_disparity, poses)
        found = {kind: losses_of([view], consistency_mask=kind)["pixel"] for kind in ("none", "detached", "learned")}
    errors = np.abs(view.warped - np.tile(batch.target, (2, 1, 1, 1))) * (1 - view.depth_mismatch.numpy())
    np.testing.assert_allclose(found["learned"], errors.mean(axis=(1, 2, 3)).reshape(2, 2).mean(1).sum())
    assert found["detached"] == found["learned"] < 0.95 * found["none"]
    gradients = {kind: tape.gradient(loss, source_disparity) for kind, loss in found.items()}
    assert gradients["detached"] is None
    assert gradients["none"] is None
    assert np.abs(gradients["learned"]).max() > 0


@pytest.mark.parametrize("mask", ["detached", "learned"])
def test_gradient_equals_finite_differences(mask):
    batch, disparity, source_disparity, poses, reverse = make_scene(seed=3, examples=1)
    options = {"ssim_weight": 0.85, "mask_out_of_view": True, "smooth_weight": 0.3, "geometry_weight": 0.5}

    @tf.function
    def total(*inputs):
        disparity, source_disparity, poses, reverse = inputs
        view = view_of(batch, disparity, source_disparity, poses)
        views = [view, turn_around(view, ExtendedMotion(poses, (), (reverse,)))]
        if mask == "learned":
            return losses_of(views, consistency_mask="learned", **options)["total"]
        # What is detached has no finite difference: here it is the rest of the objective that is checked.
        return losses_of(views, **options)["total"]

    inputs = [disparity, source_disparity, poses, reverse]
    analytic, numeric = tf.test.compute_gradient(total, inputs, delta=1e-7)
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def random_batch(height=64, width=96):
    random = np.random.RandomState(4)
    target, sources = (random.randint(0, 256, (2, height, width, count)).astype(np.uint8) for count in (3, 6))
    intrinsics = np.float32([[[60, 0, 50], [0, 55, 30], [0, 0, 1]], [[90, 0, 45], [0, 80, 33], [0, 0, 1]]])
    return Batch(*map(tf.constant, (target, sources, intrinsics)))


def test_the_learner_sees_every_frame_as_target():
    """Its losses are those of the target, and of each source with the target as its source, computed apart."""
    batch = random_batch()
    config = TrainConfig.from_preset("scale_consistent", img_height=64, img_width=96, batch_size=2, num_scales=2)
    learner = SfMLearner(config)
    found = learner.forward(batch)["losses"]
    assert sorted(found) == ["explain", "geometry", "pixel", "smooth", "total"]
    images = Batch(preprocess(batch.target), preprocess(batch.sources), batch.intrinsics)
    frames = [images.target, *tf.split(images.sources, 2, axis=-1)]
    disparities = [learner.disp_net(frame)[:2] for frame in frames]
    motion = learner.pose_exp_net(images.target, images.sources)
    forward = make_views(
        images, disparities[0], motion, source_disparities=[tf.concat(pair, axis=0) for pair in zip(*disparities[1:])]
    )
    terms = make_terms(config)
    expected = add_up(compute_means(terms, forward))
    parts = []
    for source in range(2):
        turned = Batch(frames[1 + source], frames[0], images.intrinsics)
        pose = Motion(motion.reverse_poses[0][:, source : source + 1])
        views = make_views(turned, disparities[1 + source], pose, source_disparities=disparities[0])
        parts.append(add_up(compute_means(terms, views)))
    for name in ("pixel", "smooth", "geometry"):
        total = expected[name] + sum(part[name] for part in parts)
        # Normalised by what is in view in all pairs together, here in each: not quite the same.
        np.testing.assert_allclose(found[name], total, rtol=1e-5 if name == "smooth" else 0.02)
    assert found["smooth"] > 1.5 * expected["smooth"]


def test_the_release_s_network_takes_both_directions_too():
    options = {"img_height": 32, "img_width": 64, "batch_size": 2, "num_scales": 1}
    config = TrainConfig(both_directions=True, geometry_weight=0.1, **options)
    learner, batch = SfMLearner(config), random_batch(32, 64)
    first = learner.train_step(batch)
    for _ in range(3):
        last = learner.train_step(batch)
    assert float(last["total"]) < float(first["total"])


def test_the_pair_network_sees_one_pair_at_a_time_in_both_orders():
    batch = random_batch()
    target, sources = preprocess(batch.target), preprocess(batch.sources)
    network = PairNet(2, both_orders=True)
    for variable in network.release_variables().values():
        variable.assign(3 * variable + 0.01)
    motion = network(target, sources)
    swapped = network(target, tf.concat([sources[..., 3:], sources[..., :3]], axis=-1))
    np.testing.assert_allclose(motion.poses, swapped.poses[:, ::-1], rtol=1e-4)
    assert np.abs(motion.poses[:, 0] / motion.poses[:, 1] - 1).max() > 1e-3
    # From the second source to the target is what the network sees where the source is the target.
    single = PairNet(1)
    assert network.count_params() == 1_586_774
    for name, variable in single.release_variables().items():
        variable.assign(network.release_variables()[name])
    np.testing.assert_allclose(single(sources[..., 3:], target).poses[:, 0], motion.reverse_poses[0][:, 1], rtol=1e-4)
    np.testing.assert_allclose(network.for_inference()(target, sources).poses, motion.poses, rtol=1e-5)
    assert isinstance(network.for_inference()(target, sources), Motion)


def test_the_pair_network_is_the_release_s_of_one_source():
    pair, release = PairNet(1), PoseExpNet(1)
    ours, theirs = pair.release_variables(), release.release_variables()
    assert list(ours) == list(theirs)
    for name, variable in ours.items():
        variable.assign(theirs[name] + 0.01)
        theirs[name].assign(variable)
    batch = random_batch()
    target, source = preprocess(batch.target), preprocess(batch.sources)[..., :3]
    np.testing.assert_allclose(pair(target, source).poses, release(target, source).poses, rtol=1e-5)


def test_a_checkpoint_says_how_many_frames_its_pair_network_is_shown(tmp_path):
    config = TrainConfig.from_preset("scale_consistent", seq_length=5, img_height=32, img_width=64)
    path = CheckpointFolder(str(tmp_path), PairNet(4).release_variables()).save_step(1)
    run_config.write(config, str(tmp_path))
    assert load_pose_network(path, 5).num_sources == 4


def test_sources_are_stacked_in_the_order_of_the_poses():
    values = tf.reshape(tf.range(2 * 6), [2, 1, 1, 6])
    np.testing.assert_array_equal(stack_sources(values, 2)[:, 0, 0], [[0, 1, 2], [6, 7, 8], [3, 4, 5], [9, 10, 11]])


def test_masks_need_a_network_that_has_them():
    with pytest.raises(ValueError, match=r"explain_reg_weight must be 0 with pose_network=pairnet, got 0\.2"):
        TrainConfig.from_preset("scale_consistent", explain_reg_weight=0.2)
