"""What the viewer computes of a picture, without the page."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.prediction import DepthPredictor

pytest.importorskip("gradio", reason="gradio needs Python 3.10")

import gradio as gr

from sfmlearner_tf.tools import viewer_page

DEPTH = np.linspace(1, 1.2, 4 * 8, dtype=np.float32).reshape(4, 8)


def make_viewer(tmp_path, camera=None):
    network = DepthPredictor(lambda images: None, 4, 8)
    return viewer_page.Viewer(network, camera, "--saved_model=none", tmp_path)


def points(figure):
    """Right, down, forward [n, 3]."""
    scatter = figure.data[0]
    return np.stack([scatter.x, -np.array(scatter.z), scatter.y], axis=-1)


def test_the_cloud_has_the_scale_and_the_camera(tmp_path):
    """A picture 16 pixels wide and 12 high, which the network saw 8 wide and 4 high."""
    pixels = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    found, picture = viewer_page.Found(pixels, DEPTH), Image.new("RGB", (16, 12))
    figure = make_viewer(tmp_path).draw_cloud(found, picture, 2.0, 0.5, 20)
    rows, columns = np.mgrid[:4, :8]
    # In the picture fx = fy = 8, cx = 8, cy = 6.
    ray = np.stack([(columns - 4) / 4, (rows - 2) / (8 / 3), np.ones((4, 8))], axis=-1)
    np.testing.assert_allclose(points(figure), (2 * DEPTH[..., None] * ray).reshape(-1, 3), rtol=1e-5)
    assert figure.data[0].marker.color[1] == "rgb(3,4,5)"
    assert figure.layout.scene.aspectmode == "data"
    # With a camera the slider counts for nothing.
    known = make_viewer(tmp_path, lambda width, height: Intrinsics(4.0 * width / 16, 6.0, 8.0, 6.0))
    one, other = (points(known.draw_cloud(found, picture, 1.0, focal, 20)) for focal in (0.5, 1.5))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one[:8, 0], DEPTH[0] * (np.arange(8) - 4) / 2, rtol=1e-5)
    # What is far is left out.
    assert len(points(known.draw_cloud(found, picture, 1.0, 0.5, 1))) == 16


def test_a_click_measures_where_it_was(tmp_path):
    found, picture = viewer_page.Found(np.zeros((4, 8, 3), np.uint8), DEPTH), Image.new("RGB", (16, 12))
    clicked = gr.SelectData(None, {"index": [15, 5], "value": None})
    assert viewer_page.measure(found, picture, 10, clicked).endswith(f"**{10 * DEPTH[1, 7]:.3g} m**")
    assert viewer_page.describe(found, 10).startswith("Depth: 10")


def test_a_page_without_a_picture_shows_nothing(tmp_path):
    viewer = make_viewer(tmp_path)
    assert viewer.predict(None) is None
    assert viewer.draw_cloud(None, None, 1, 1, 1) is None
    assert viewer.predict_clip(None) is None
    assert viewer_page.colour(None, None) is None
    assert viewer_page.describe(None, 1) == ""


@pytest.mark.parametrize(("errors", "told"), [("", "exit status -9"), ("a warning\nerror: no video\n", "no video")])
def test_a_clip_that_fails_is_told(tmp_path, monkeypatch, errors, told):
    done = subprocess.CompletedProcess([], -9, stderr=errors)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(gr.Error, match=f"^'{told}'$"):
        make_viewer(tmp_path).predict_clip("clip.mp4")
