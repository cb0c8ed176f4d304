"""The generated world is exact: its depth, poses and pictures agree with independent computations."""

import subprocess
import sys

import numpy as np
import pytest

from sfmlearner_tf.data.synthetic import CAMERA_HEIGHT_M, Faces, intrinsics, make_scene, trajectory
from sfmlearner_tf.data.synthetic_render import LIDAR_RANGE_M, render, render_depth, scan
from sfmlearner_tf.data.synthetic_texture import make_waves, moments, pattern_and_tint

HEIGHT, WIDTH = 48, 160
CAMERA = intrinsics(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def scene():
    return make_scene(seed=7, frames=30)


@pytest.fixture(scope="module")
def world_T_cam(scene):
    return trajectory(scene)


def pixel_rays(u, v):
    return np.stack([(u - CAMERA[0, 2]) / CAMERA[0, 0], (v - CAMERA[1, 2]) / CAMERA[1, 1], np.ones_like(u)], axis=-1)


def nearest_hit(faces, origin, ray):
    """Brute force: one small linear system for every face of the world. Infinite where nothing is met."""
    best = np.inf
    for number, (corner, edge_s, edge_t) in enumerate(zip(faces.corner, faces.edge_s, faces.edge_t)):
        matrix = np.stack([edge_s, edge_t, -ray], axis=-1)
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        s, t, z = np.linalg.solve(matrix, origin - corner)
        inside = number == 0 or (0 <= s <= 1 and 0 <= t <= 1)
        # Seen from outside only, as solid objects are.
        if inside and 1e-6 < z < best and np.dot(np.cross(edge_s, edge_t), ray) < 0:
            best = z
    return best


def with_faces(scene, *rectangles):
    """The scene with its ground and the given (corner, edge_s, edge_t) instead of its houses."""
    ground = Faces(*(column[:1] for column in scene.faces))
    shapes = [np.concatenate([base, np.array(new, float)]) for base, new in zip(ground[:3], zip(*rectangles))]
    rest = [np.repeat(column, 1 + len(rectangles), axis=0) for column in ground[3:]]
    return scene._replace(faces=Faces(*shapes, *rest))


def level_pose(x=0.0, z=0.0):
    pose = np.eye(4)
    pose[:3, 3] = x, -CAMERA_HEIGHT_M, z
    return pose


def wall(z, half_width=50.0, height=40.0, left=None):
    """A wall across the view at distance z, facing the camera: its outside looks along -z."""
    left = -half_width if left is None else left
    right = left + 2 * half_width
    return (right, -height, z), (left - right, 0, 0), (0, height, 0)


def test_equal_seeds_give_equal_scenes_and_others_differ():
    first, again, other = make_scene(3, frames=5), make_scene(3, frames=5), make_scene(4, frames=5)
    for a, b in zip((*first.faces, *first.waves, *first.path), (*again.faces, *again.waves, *again.path)):
        np.testing.assert_array_equal(a, b)
    assert first.road_half_width_m != other.road_half_width_m
    assert not np.array_equal(first.waves.vectors, other.waves.vectors)


def test_trajectory_moves_forward_about_a_third_of_a_metre_a_frame(world_T_cam):
    rotation, position = world_T_cam[:, :3, :3], world_T_cam[:, :3, 3]
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (30, 1, 1)), atol=1e-12)
    step = np.einsum("nij,ni->nj", rotation[:-1], np.diff(position, axis=0))  # in the camera's own frame
    assert 0.25 < step[:, 2].min() <= step[:, 2].max() < 0.45
    assert np.abs(step[:, :2]).max() < 0.06
    np.testing.assert_allclose(position[:, 1], -CAMERA_HEIGHT_M, atol=0.01)


def test_trajectory_refuses_more_frames_than_the_street_is_long(scene):
    with pytest.raises(ValueError, match="1 to 30"):
        trajectory(scene, 31)


@pytest.mark.parametrize("seed", range(6))
def test_camera_never_comes_close_to_anything(seed):
    scene = make_scene(seed, frames=30)
    position = trajectory(scene)[:, :3, 3]
    corner, edge = scene.faces.corner[1:], scene.faces.edge_s[1:]
    for point in position[:, [0, 2]]:
        start, along = corner[:, [0, 2]], edge[:, [0, 2]]
        part = np.clip(((point - start) * along).sum(-1) / (along**2).sum(-1), 0, 1)
        assert np.linalg.norm(start + part[:, None] * along - point, axis=-1).min() > 1.5


def test_street_surrounds_the_camera(scene, world_T_cam):
    for pose in world_T_cam[[0, -1]]:
        depth_m = render_depth(scene, np.linalg.inv(pose), CAMERA, HEIGHT, WIDTH)
        assert (depth_m > 0).mean() > 0.75
        upper = depth_m[: HEIGHT // 3]
        assert (upper[:, : WIDTH // 3] > 0).any()
        assert (upper[:, -WIDTH // 3 :] > 0).any()


def test_ground_depth_by_hand(scene):
    ground = scene._replace(faces=Faces(*(column[:1] for column in scene.faces)))
    _, depth_m = render(ground, level_pose(), CAMERA, HEIGHT, WIDTH)
    for v in (24, 30, HEIGHT - 1):
        np.testing.assert_allclose(depth_m[v], CAMERA[1, 1] * CAMERA_HEIGHT_M / (v - CAMERA[1, 2]), rtol=1e-12)
    assert (depth_m[: int(CAMERA[1, 2]) + 1] == 0).all()


def test_box_stands_before_the_wall(scene):
    near = wall(10.0, half_width=1.5, height=3.0)
    for rectangles in ((near, wall(20.0)), (wall(20.0), near)):
        _, depth_m = render(with_faces(scene, *rectangles), level_pose(), CAMERA, HEIGHT, WIDTH)
        u, v = int(CAMERA[0, 2]), int(CAMERA[1, 2])
        np.testing.assert_allclose(depth_m[v, u], 10.0)
        np.testing.assert_allclose(depth_m[v, [0, -1]], 20.0)
        np.testing.assert_allclose(depth_m[0], 20.0)
        assert (depth_m[-1] < 10).all()  # the ground before both


def test_wall_beside_and_behind_the_camera_is_cut_at_the_camera(scene):
    side = (3.0, -30.0, -20.0), (0, 0, 60.0), (0, 30.0, 0)  # at x = 3, from 20 m behind to 40 m ahead, facing left
    outwards = np.cross(side[1], side[2])
    assert outwards[0] < 0
    _, depth_m = render(with_faces(scene, side), level_pose(), CAMERA, HEIGHT, WIDTH)
    u = np.arange(WIDTH)[110:]
    np.testing.assert_allclose(depth_m[int(CAMERA[1, 2]), 110:], 3 * CAMERA[0, 0] / (u - CAMERA[0, 2]))


def test_depth_agrees_with_brute_force(scene, world_T_cam):
    rng = np.random.default_rng(0)
    pose = world_T_cam[11]
    depth_m = render_depth(scene, np.linalg.inv(pose), CAMERA, HEIGHT, WIDTH)
    for u, v in zip(rng.integers(0, WIDTH, 40), rng.integers(0, HEIGHT, 40)):
        expected = nearest_hit(scene.faces, pose[:3, 3], pose[:3, :3] @ pixel_rays(float(u), float(v)))
        np.testing.assert_allclose(depth_m[v, u], expected if np.isfinite(expected) else 0, rtol=1e-9)


def test_scan_agrees_with_brute_force(scene, world_T_cam):
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    pose = world_T_cam[5].copy()
    pose[:3, :3] = pose[:3, :3] @ axes
    azimuth, elevation = np.radians(np.arange(-50.0, 51, 9)), np.radians(np.linspace(-20.0, 2, 7))
    points = scan(scene, pose, azimuth, elevation)
    expected = []
    for el in elevation:
        for az in azimuth:
            ray = np.array([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)])
            distance = nearest_hit(scene.faces, pose[:3, 3], pose[:3, :3] @ ray)
            if distance <= LIDAR_RANGE_M:
                expected.append(distance * ray)
    assert len(expected) > 40
    np.testing.assert_allclose(points[:, :3], expected, rtol=1e-5, atol=1e-5)
    assert ((points[:, 3] >= 0) & (points[:, 3] <= 1)).all()


def warp(source, depth_m, source_T_target):
    """Independent bilinear warp of the source into the target [H, W, 3]; where it is inside; x, y, z in the source."""
    u, v = np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT, dtype=float))
    points = pixel_rays(u, v) * depth_m[..., None] @ source_T_target[:3, :3].T + source_T_target[:3, 3]
    z = np.where(depth_m > 0, points[..., 2], 1)
    x, y = (CAMERA[k, k] * points[..., k] / z + CAMERA[k, 2] for k in range(2))
    inside = (depth_m > 0) & (x >= 0) & (x < WIDTH - 1) & (y >= 0) & (y < HEIGHT - 1)
    left, top = (np.where(inside, np.floor(c), 0).astype(int) for c in (x, y))
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper, lower = ((1 - a) * source[row, left].astype(float) + a * source[row, left + 1] for row in (top, top + 1))
    return (1 - b) * upper + b * lower, inside, x, y, z


@pytest.mark.parametrize(("first", "second"), [(8, 9), (20, 19)])
def test_true_depth_and_pose_warp_one_frame_onto_the_next(scene, world_T_cam, first, second):
    target, depth_m = render(scene, world_T_cam[first], CAMERA, HEIGHT, WIDTH)
    source, source_depth_m = render(scene, world_T_cam[second], CAMERA, HEIGHT, WIDTH)
    source_T_target = np.linalg.inv(world_T_cam[second]) @ world_T_cam[first]
    warped, inside, x, y, z = warp(source, depth_m, source_T_target)
    error = np.abs(warped - target)[inside]
    unwarped = np.abs(source.astype(float) - target)[inside]
    # What is left lies at edges, where one picture shows what the other hides.
    assert np.median(error) < 1.5 < 0.4 * np.median(unwarped)
    assert error.mean() < 0.4 * unwarped.mean()
    # A quarter more depth, or less motion, is seen at once.
    shorter = source_T_target.copy()
    shorter[:3, 3] *= 0.75
    for wrong in (warp(source, 1.25 * depth_m, source_T_target), warp(source, depth_m, shorter)):
        assert np.median(np.abs(wrong[0] - target)[inside & wrong[1]]) > 1.3 * np.median(error)
    # Where the other frame sees the same point, its depth map says the same.
    there = source_depth_m[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    assert np.median(np.abs(there / z[inside] - 1)) < 0.01


def test_picture_converges_with_the_number_of_rays(scene, world_T_cam):
    pictures = [render(scene, world_T_cam[0], CAMERA, HEIGHT, WIDTH, n)[0].astype(float) for n in (1, 2, 6)]
    error_1, error_2 = (np.abs(picture - pictures[2]).mean() for picture in pictures[:2])
    assert error_2 < 0.6 * error_1
    assert error_2 < 1.5


def test_surfaces_are_textured_and_smooth(scene, world_T_cam):
    image, depth_m = render(scene, world_T_cam[0], CAMERA, HEIGHT, WIDTH)
    grey = image.mean(axis=-1)
    step_x = np.abs(np.diff(grey, axis=1))
    assert np.median(step_x[depth_m[:, 1:] > 0]) < 8  # a gradient from pixel to pixel, not noise
    blocks = grey[16:48].reshape(4, 8, WIDTH // 16, 16).std(axis=(1, 3))
    near = (depth_m[16:48] > 0).reshape(4, 8, WIDTH // 16, 16).all(axis=(1, 3))
    assert blocks[near].min() > 2  # and nothing is flat


def test_filtered_pattern_is_the_gaussian_mean_of_the_pattern():
    """Averages the unfiltered pattern over the pixel by a fine sum, for near, slanted and far surfaces."""
    waves = make_waves(np.random.default_rng(1))
    nodes = np.linspace(-6, 6, 241)  # in standard deviations of the filter
    weights = np.outer(*[np.exp(-(nodes**2) / 2)] * 2)
    weights /= weights.sum()
    nought = np.zeros((3, nodes.size**2))
    for p_u, q_u, p_v, q_v in ((0.05, 0.0, 0.0, 0.05), (0.3, 0.02, -0.1, 0.2), (0.05, 0.01, 0.0, 0.7)):
        steps = [np.array([value]) for value in (p_u, q_u, p_v, q_v)]
        point = np.array([3.0]), np.array([-5.0])
        filtered = pattern_and_tint(waves, *point, moments(*steps))
        du, dv = 0.75 * nodes[:, None], 0.75 * nodes[None]
        p, q = (point[0] + p_u * du + p_v * dv).ravel(), (point[1] + q_u * du + q_v * dv).ravel()
        for value, samples in zip(filtered, pattern_and_tint(waves, p, q, nought)):
            np.testing.assert_allclose(value[0], (samples * weights.ravel()).sum(), atol=1e-4)


def test_pattern_of_a_face_seen_along_itself_stays_bounded():
    """There float32 rounds the filter's exponent of a wave along the face's edge, truly 0, to far above 0."""
    waves = make_waves(np.random.default_rng(1))
    turned = (waves.vectors[:, ::-1] * [-1, 1] * 1e4).astype(np.float32)
    point = np.zeros(len(turned), np.float32)
    with np.errstate(all="raise", under="ignore"):
        found = pattern_and_tint(waves, point, point, moments(*turned.T, point, point))
    assert (np.abs(found) <= np.abs(waves.amplitudes).sum(axis=0)[:, None]).all()


def test_sky_is_a_soft_gradient_without_depth(scene):
    empty = scene._replace(faces=Faces(*(column[:1] for column in scene.faces)))
    image, depth_m = render(empty, level_pose(), CAMERA, HEIGHT, WIDTH)
    sky = image[depth_m == 0].reshape(-1, WIDTH, 3).astype(float)
    assert len(sky) > 10
    assert np.abs(np.diff(sky[:-1], axis=0)).max() < 12
    assert sky[0, 0, 2] != sky[-2, 0, 2] or sky[0, 0, 0] != sky[-2, 0, 0]


def test_needs_no_tensorflow():
    code = "import sys, sfmlearner_tf.data.synthetic_kitti; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
