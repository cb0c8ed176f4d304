"""Normals, planes and edges: from depth and back, what the objective makes of them, and the network that sees edges."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import Batch, SfMLearner, TrainConfig, export, normals, run_config
from sfmlearner_tf.losses.planarity import edge_loss, normal_smoothness_loss, planarity_loss
from sfmlearner_tf.losses.view import make_views, turn_around
from sfmlearner_tf.networks.building import load_network
from sfmlearner_tf.networks.motion import Motion

HEIGHT, WIDTH, EXAMPLES = 6, 9, 2
CAMERA = np.float64([[9, 0, 4.2], [0, 7, 2.3], [0, 0, 1]])
CAMERAS = np.stack([CAMERA, CAMERA * [[1.2], [0.8], [1]]])


def rays_of(camera):
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    return pixels @ np.linalg.inv(camera).T


def plane(normal, distance, camera=CAMERA):
    """The depth of a plane, normal . P = -distance, and its normal of length 1."""
    unit = np.array(normal) / np.linalg.norm(normal)
    return -distance / (rays_of(camera) @ unit), unit


def make_scene(seed=0):
    """Depth, images and edges with nothing alike anywhere."""
    random = np.random.RandomState(seed)
    depth = random.uniform(2, 4, (EXAMPLES, HEIGHT, WIDTH))
    image = random.uniform(-1, 1, (EXAMPLES, HEIGHT, WIDTH, 3))
    return depth, image, random.uniform(0, 1, (EXAMPLES, HEIGHT, WIDTH, 1))


def neighbours_of(row, column):
    """Clockwise from the top left one; None outside."""
    around = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    found = [(row + down, column + right) for down, right in around]
    return [(r, c) if 0 <= r < HEIGHT and 0 <= c < WIDTH else None for r, c in found]


def weight_of(image, here, there, alpha):
    return np.exp(-alpha * np.abs(image[here] - image[there]).mean() / 2)


def numpy_normals(depth, camera, image, alpha=10.0):
    points, found = rays_of(camera) * depth[..., np.newaxis], np.zeros((HEIGHT, WIDTH, 3))
    for here in np.ndindex(HEIGHT, WIDTH):
        around = neighbours_of(*here)
        for a, b in zip(around, around[2:] + around[:2]):
            if a and b:
                weight = weight_of(image, here, a, alpha) * weight_of(image, here, b, alpha)
                found[here] += weight * np.cross(points[b] - points[here], points[a] - points[here])
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def numpy_depth(surface, depth, camera, image, alpha=10.0):
    rays, found = rays_of(camera), np.zeros((HEIGHT, WIDTH))
    for here in np.ndindex(HEIGHT, WIDTH):
        around = [each for each in neighbours_of(*here) if each]
        weights = [weight_of(image, here, each, alpha) for each in around]
        given = []
        for each in around:
            nearer = (surface[each] @ rays[here]) / (surface[each] @ rays[each])
            given.append(depth[each] / np.clip(nearer, 0.5, 2))
        found[here] = np.average(given, weights=weights)
    return found


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.1, -0.8, -0.6), (0.5, 0.1, -0.7)])
def test_a_plane_has_one_normal_and_stays_as_it_is(normal):
    depth, unit = plane(normal, 1.5)
    assert depth.min() > 0
    image = make_scene()[1][:1]
    found = normals.depth_to_normals(depth[np.newaxis], CAMERA[np.newaxis], image)
    np.testing.assert_allclose(found[0], np.broadcast_to(unit, (HEIGHT, WIDTH, 3)), atol=1e-9)
    again = normals.find_plane_depth(1 / tf.constant(depth)[np.newaxis, ..., np.newaxis], image)
    np.testing.assert_allclose(1 / again[0, ..., 0], depth, rtol=1e-9)


def test_the_scale_of_depth_is_nothing_to_normals():
    depth, image, _ = (values.astype(np.float32) for values in make_scene())
    near, far = (normals.depth_to_normals(factor * depth, np.float32(CAMERAS), image) for factor in (1e-3, 1e3))
    np.testing.assert_allclose(near, far, atol=1e-5)


def test_normals_and_depth_from_them_against_numpy():
    depth, image, _ = make_scene()
    found = normals.depth_to_normals(depth, CAMERAS, image)
    again = normals.normals_to_depth(found, tf.constant(depth), CAMERAS, image)
    for example, camera in enumerate(CAMERAS):
        expected = numpy_normals(depth[example], camera, image[example])
        np.testing.assert_allclose(found[example], expected, atol=1e-9)
        expected = numpy_depth(expected, depth[example], camera, image[example])
        np.testing.assert_allclose(again[example], expected, rtol=1e-9)


def test_where_colour_changes_surfaces_are_apart():
    """Two walls beside each other, of two colours: neither bends the other."""
    depth = np.where(np.arange(WIDTH) < 5, 2.0, 3.0) * np.ones((1, HEIGHT, 1))
    image = np.where(np.arange(WIDTH) < 5, -1.0, 1.0)[:, np.newaxis] * np.ones((1, HEIGHT, WIDTH, 3))
    again = 1 / normals.find_plane_depth(1 / tf.constant(depth[..., np.newaxis]), image)
    np.testing.assert_allclose(again[..., 0], depth, rtol=1e-3)
    blurred = 1 / normals.find_plane_depth(1 / tf.constant(depth[..., np.newaxis]), 0 * image)
    assert abs(blurred[0, 2, 4, 0] - 2) > 0.1


def view_of(depth, image, edges=None, cameras=CAMERAS):
    count = len(depth)
    batch = Batch(image, np.concatenate([image] * 2, axis=-1), tf.constant(cameras[:count]))
    batch = batch._replace(target=tf.constant(image), sources=tf.constant(batch.sources))
    disparity = 1 / tf.convert_to_tensor(depth)[..., tf.newaxis]
    poses = tf.zeros([count, 2, 6], tf.float64)
    edges = () if edges is None else (tf.constant(edges),)
    (view,) = make_views(batch, [disparity], Motion(poses), edges=edges)
    return view


def cut(values, axis):
    return np.moveaxis(np.moveaxis(values, axis, 0)[1:-1], 0, axis)


def numpy_damping(image, edges, axis):
    if edges is not None:
        return np.exp(-5 * cut(edges[..., 0], axis))
    first = np.abs(np.diff(image, axis=axis)).mean(axis=-1) / 2
    first = np.moveaxis(first, axis, 0)
    return np.exp(-5 * np.moveaxis((first[1:] + first[:-1]) / 2, 0, axis))


@pytest.mark.parametrize("has_edges", [False, True])
def test_planarity_and_smoothness_of_normals_against_numpy(has_edges):
    depth, image, edges = make_scene()
    edges = edges if has_edges else None
    points = np.stack([rays_of(camera) for camera in CAMERAS]) * depth[..., np.newaxis]
    surface = np.stack([numpy_normals(*each) for each in zip(depth, CAMERAS, image)])
    planarity, smoothness = 0.0, 0.0
    for axis in (1, 2):
        step = np.diff(points, axis=axis)
        direction = step / np.linalg.norm(step, axis=-1, keepdims=True)
        damping = numpy_damping(image, edges, axis)
        planarity += (np.abs(np.diff(direction, axis=axis)).sum(axis=-1) * damping).mean()
        smoothness += (np.abs(np.diff(surface, 2, axis=axis)).sum(axis=-1) * damping).mean()
    view = view_of(depth, image, edges)
    assert sum(float(mean.value()) for mean in planarity_loss([view])) == pytest.approx(planarity, rel=1e-8)
    assert sum(float(mean.value()) for mean in normal_smoothness_loss([view])) == pytest.approx(smoothness, rel=1e-8)
    coarse = dataclasses.replace(view, scale=2)
    assert sum(float(mean.value()) for mean in planarity_loss([coarse])) == pytest.approx(planarity / 4, rel=1e-8)


def test_planes_cost_nothing_and_a_ridge_costs_where_no_edge_is():
    left, right = plane((0.5, 0, -1), 3)[0], plane((-0.5, 0, -1), 3)[0]
    ridge = np.where(np.arange(WIDTH) < 4.2, left, right)[np.newaxis]
    grey, edges = np.zeros((1, HEIGHT, WIDTH, 3)), np.zeros((1, HEIGHT, WIDTH, 1))

    def cost(depth, edges):
        return float(sum(mean.value() for mean in planarity_loss([view_of(depth, grey, edges)])))

    assert cost(left[np.newaxis], edges) == pytest.approx(0, abs=1e-9)
    without = cost(ridge, edges)
    assert without > 0.05
    edges[:, :, 4:6] = 1
    assert cost(ridge, edges) == pytest.approx(np.exp(-5) * without, rel=1e-6)


def test_edges_cost_their_square():
    depth, image, edges = make_scene()
    (mean,) = edge_loss([view_of(depth, image, edges)])
    assert float(mean.value()) == pytest.approx((edges**2).mean(), rel=1e-9)


@pytest.mark.parametrize("loss", [planarity_loss, normal_smoothness_loss])
def test_gradients_equal_finite_differences(loss):
    depth, image, edges = make_scene()
    depth, image, edges = depth[:1], image[:1], edges[:1]

    def total(values):
        refined = normals.find_plane_depth(1 / values[..., tf.newaxis], image)
        return tf.add_n([mean.value() for mean in loss([view_of(1 / refined[..., 0], image, edges)])])

    analytic, numeric = tf.test.compute_gradient(total, [tf.constant(depth)], delta=1e-6)
    assert np.abs(numeric[0]).max() > 1e-3
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-6)


def test_edges_of_the_sources_count_in_their_own_view():
    depth, image, edges = make_scene()
    motion, source_edges = Motion(tf.zeros([EXAMPLES, 2, 6], tf.float64)), np.concatenate([edges, 1 - edges])
    batch = Batch(tf.constant(image), tf.constant(np.concatenate([image] * 2, axis=-1)), tf.constant(CAMERAS))
    disparity = 1 / tf.constant(depth)[..., tf.newaxis]
    (view,) = make_views(
        batch, [disparity], motion, (), "native", [tf.tile(disparity, [2, 1, 1, 1])], [tf.constant(edges)],
        [tf.constant(source_edges)],
    )  # fmt: skip
    (back,) = edge_loss([turn_around(view, motion)])
    # The sum over both sources, each the target of its own view.
    assert float(back.value()) == pytest.approx((edges**2).mean() + ((1 - edges) ** 2).mean(), rel=1e-9)


def test_the_depth_of_planes_is_the_same_in_every_camera():
    depth, image, _ = make_scene()
    found = normals.find_plane_depth(1 / tf.constant(depth[..., np.newaxis]), image)
    surface = normals.depth_to_normals(depth, CAMERAS, image)
    expected = normals.normals_to_depth(surface, tf.constant(depth), CAMERAS, image)
    np.testing.assert_allclose(1 / found[..., 0], expected, rtol=1e-9)


SIZE = {"img_height": 32, "img_width": 64, "batch_size": 2}


def make_batch():
    random = np.random.RandomState(3)
    pictures = [tf.constant(random.randint(0, 256, (2, 32, 64, channels), np.uint8)) for channels in (3, 6)]
    return Batch(*pictures, tf.constant([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2))


def test_what_is_warped_is_the_depth_of_the_planes():
    """`depth_normal` changes the depth of each scale as `find_plane_depth` does, and nothing else."""
    batch = make_batch()
    plain, planes = (SfMLearner(TrainConfig(depth_normal=on, **SIZE)).forward(batch) for on in (False, True))
    np.testing.assert_allclose(planes["poses"], plain["poses"], rtol=1e-6)
    for scale, (before, after) in enumerate(zip(plain["depth"], planes["depth"])):
        height, width = before.shape[1:3]
        images = tf.image.resize(tf.cast(batch.target, tf.float32) / 127.5 - 1, (height, width), "area")
        expected = 1 / normals.find_plane_depth(1 / before, images)
        np.testing.assert_allclose(after, expected, rtol=1e-4)
        assert scale or np.abs(after / before - 1).max() > 1e-3


def test_training_learns_edges():
    """With nothing but their own cost there are none in the end."""
    config = TrainConfig(edges=True, edge_weight=100.0, smoothness="planar", learning_rate=1e-2, **SIZE)
    learner, batch = SfMLearner(config), make_batch()
    costs = [float(learner.train_step(batch)["edge"]) for _ in range(30)]
    assert costs[-1] < 0.2 * costs[0]


def test_whoever_needs_no_edges_reads_the_checkpoint_without(tmp_path):
    config = TrainConfig(edges=True, **SIZE)
    learner = SfMLearner(config)
    images = np.random.RandomState(0).randint(0, 256, (1, 32, 64, 3), np.uint8)
    depth = learner.predict_depth(images).numpy()
    run_config.write(config, str(tmp_path))
    path = learner.save(str(tmp_path))
    network, whole = load_network(path, "depth"), load_network(path, "depth", edges=True)
    assert len(network(images / 127.5 - 1)) == 4
    found = whole(np.float32(images / 127.5 - 1))
    assert [values.shape for values in found[4:]] == [(1, 32 // 2**s, 64 // 2**s, 1) for s in range(4)]
    assert all(float(tf.reduce_min(values)) > 0 and float(tf.reduce_max(values)) < 1 for values in found[4:])
    whole.save(tmp_path / "depth.keras")
    again = keras.saving.load_model(tmp_path / "depth.keras")
    np.testing.assert_allclose(again(images / 127.5 - 1)[4], found[4], rtol=1e-5)
    export.export_saved_model(learner, str(tmp_path / "exported"))
    exported = tf.saved_model.load(str(tmp_path / "exported")).signatures["depth"]
    np.testing.assert_allclose(exported(images=images)["depth"], depth, rtol=1e-4)
    sizes = [sum(value.size for value in each.get_weights()) for each in (learner.disp_net, network)]
    assert sizes[0] > 1.3 * sizes[1]
