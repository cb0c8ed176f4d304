"""The height of the camera above the road, found in depth, and the scale that follows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.sequences import Frame, Intrinsics
from sfmlearner_tf.tools.predict_ground import find_camera_height
from sfmlearner_tf.tools.predict_input import Picture, Recording
from sfmlearner_tf.tools.predict_scale import CameraHeight

HEIGHT, WIDTH = 64, 208
CAMERA = Intrinsics(120.0, 123.0, 102.0, 29.0)


def road(height, pitch_rad=0.0, roll_rad=0.0, noise=0.0, wall=30.0):
    """Depth of a plane below the camera, and of a wall where the plane is farther away."""
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy, np.ones((HEIGHT, WIDTH))], -1)
    normal = np.array([np.sin(roll_rad), np.cos(roll_rad) * np.cos(pitch_rad), np.sin(pitch_rad)])
    normal /= np.linalg.norm(normal)
    towards = rays @ normal
    depth = np.where(towards > height / wall, height / np.where(towards > 0, towards, 1), wall)
    return depth * np.random.RandomState(0).normal(1, noise, depth.shape) if noise else depth


@pytest.mark.parametrize(
    ("options", "height", "within"),
    [
        ({}, 1.65, 1e-6),
        ({"pitch_rad": 0.05, "roll_rad": -0.04}, 0.3, 1e-6),
        ({"noise": 0.01}, 1.65, 0.02),
    ],
)
def test_the_height_of_a_plane(options, height, within):
    assert find_camera_height(road(height, **options), CAMERA) == pytest.approx(height, rel=within)


def test_things_on_the_road_do_not_move_it():
    depth = road(1.65)
    depth[40:60, 90:120] = 4.0
    assert find_camera_height(depth, CAMERA) == pytest.approx(1.65, rel=0.02)


@pytest.mark.parametrize("depth", [np.full((HEIGHT, WIDTH), 7.0), road(1.65, pitch_rad=1.2)])
def test_without_a_road_nothing_is_found(depth):
    """A wall, and a plane too steep to drive on."""
    assert find_camera_height(depth, CAMERA) is None


def test_the_scale_is_the_true_height_over_the_found():
    recording = Recording("v", tuple(Frame(f"v_{i:06d}", "v.mp4", i) for i in range(40)), [0.1 * i for i in range(40)])
    source = CameraHeight(1.65, lambda width, height: Intrinsics(240.0, 246.0, 204.0, 58.0), recording)
    assert len(source.numbers) == 16
    frame = recording.frames[0]
    picture = Picture(0, frame, Image.new("RGB", (2 * WIDTH, 2 * HEIGHT)), {})
    (ratio,) = source.ratios(picture, road(0.33))
    assert ratio == pytest.approx(5.0)
    assert source.ratios(picture._replace(number=1), road(0.33)) == []
    assert source.ratios(picture, np.full((HEIGHT, WIDTH), 7.0)) == []
