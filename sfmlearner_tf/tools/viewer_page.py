"""The page of the viewer: what it shows, made with Gradio, and Plotly for the point cloud."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from PIL import Image

from kitti_eval.resize import resize_bilinear
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.data.synthetic import KITTI_FOCAL_LENGTH
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.prediction import DepthPredictor, make_resizers
from sfmlearner_tf.tools.predict_cloud import FARTHEST_OF_MEDIAN, Camera, find_intrinsics, lift
from sfmlearner_tf.tools.predict_output import colour_disparity, find_range

# What a browser draws and turns without waiting.
_CLOUD_POINTS = 20_000
# Fonts that are there: the usual theme fetches its own.
_THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])


class Found(NamedTuple):
    """The pixels uint8 [h, w, 3] that a network got, and their depth [h, w]."""

    pixels: np.ndarray
    depth: np.ndarray


class Viewer(NamedTuple):
    """What the page computes of what was dropped on it.

    network: of depth.
    camera: the intrinsics of a picture of a width and height; None where only the page tells the focal length.
    source: the flag of `predict` that names the network, for clips.
    folder: for the videos of clips.
    """

    network: DepthPredictor
    camera: Camera | None
    source: str
    folder: Path

    def predict(self, picture: Image.Image | None) -> Found | None:
        """The depth that all else is drawn from."""
        if picture is None:
            return None
        pixels = make_resizers(depth=self.network)["depth"](picture.convert("RGB"))
        return Found(pixels, self.network.predict(pixels[None]).numpy()[0])

    def draw_cloud(
        self, found: Found | None, picture: Image.Image | None, scale: float, focal_length: float, farthest: float
    ) -> go.Figure | None:
        """The point cloud, metres; the focal length is in widths of the picture, `farthest` in median depths."""
        if found is None or picture is None:
            return None
        try:
            camera = self.camera or (
                lambda width, height: Intrinsics(focal_length * width, focal_length * width, width / 2, height / 2)
            )
            intrinsics = find_intrinsics(camera, picture.size, found.depth.shape)
        except UserError as error:
            raise gr.Error(str(error)) from None
        depth = scale * found.depth
        return draw_points(lift(depth, found.pixels, intrinsics, farthest * float(np.median(depth))))

    def predict_clip(self, path: str | None) -> str | None:
        """The video of the depth of a clip."""
        if path is None:
            return None
        output_dir = tempfile.mkdtemp(dir=self.folder)
        flags = f"--input={path}", self.source, f"--output_dir={output_dir}", "--output=mp4"
        command = [sys.executable, "-m", "sfmlearner_tf.tools.predict", *flags]
        done = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=False)
        if done.returncode:
            *_, reason = f"exit status {done.returncode}", *done.stderr.strip().splitlines()
            raise gr.Error(reason.removeprefix("error: "))
        return str(next(Path(output_dir).glob("*.mp4")))


def make_page(viewer: Viewer) -> gr.Blocks:
    """The page, not served yet."""
    with gr.Blocks(title="sfmlearner_tf viewer", analytics_enabled=False) as page:
        found = gr.State()
        with gr.Tab("Picture"):
            with gr.Row():
                with gr.Column():
                    gr.Markdown("Picture")
                    picture = gr.Image(type="pil", show_label=False, sources=["upload", "clipboard"])
                with gr.Column():
                    gr.Markdown("Depth: near is bright; click to measure")
                    depth = gr.Image(show_label=False, interactive=False)
            said = gr.Markdown()
            with gr.Row():
                scale = gr.Slider(0.1, 50, 1, step=0.1, label="Scale: metres per unit of depth")
                label, is_asked = "Focal length, in widths of the picture", viewer.camera is None
                focal_length = gr.Slider(0.3, 2, KITTI_FOCAL_LENGTH, step=0.01, label=label, visible=is_asked)
                farthest = gr.Slider(1, 20, FARTHEST_OF_MEDIAN, step=0.5, label="Farthest point, in median depths")
            cloud = gr.Plot(label="Point cloud: turn it with the mouse")
        with gr.Tab("Clip"), gr.Row():
            clip = gr.Video(label="Clip", sources=["upload"])
            clip_depth = gr.Video(label="The clip above its depth: near is bright", interactive=False, autoplay=True)
        drawn_from = [found, picture, scale, focal_length, farthest]
        shown = picture.change(viewer.predict, picture, found, api_name="predict")
        shown = shown.then(colour, [found, picture], depth, api_name="depth")
        shown = shown.then(describe, [found, scale], said, api_name="describe")
        shown.then(viewer.draw_cloud, drawn_from, cloud, api_name="cloud")
        depth.select(measure, [found, picture, scale], said, show_progress="hidden")
        redrawing: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
        scale.change(describe, [found, scale], said, **redrawing)
        for slider in (scale, focal_length, farthest):
            slider.change(viewer.draw_cloud, drawn_from, cloud, **redrawing)
        clip.change(viewer.predict_clip, clip, clip_depth, api_name="clip")
    return page


@contextmanager
def serve(page: gr.Blocks, port: int, opens: bool) -> Iterator[str]:
    """Serves a page to this machine alone; gives its address.

    Raises:
        UserError: the port is taken.
    """
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port or None,
            inbrowser=opens,
            theme=_THEME,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
        )
    except OSError:
        raise UserError(f"--port={port}: expected a port that is free, found it taken") from None
    try:
        yield address
    finally:
        page.close(verbose=False)


def colour(found: Found | None, picture: Image.Image | None) -> np.ndarray | None:
    """The picture of the depth, RGB uint8, at the size of the picture."""
    if found is None or picture is None:
        return None
    disparity = resize_bilinear(1 / found.depth, picture.height, picture.width)
    return colour_disparity(disparity, find_range([disparity]))


def describe(found: Found | None, scale: float) -> str:
    """How far what is seen is, in a line."""
    if found is None:
        return ""
    nearest, median, farthest = scale * np.percentile(found.depth, (1, 50, 99))
    return f"Depth: {nearest:.3g} m (nearest hundredth), {median:.3g} m (median), {farthest:.3g} m (farthest hundredth)"


def measure(found: Found, picture: Image.Image, scale: float, clicked: gr.SelectData) -> str:
    """How far the place is that was clicked on."""
    column, row = clicked.index
    height, width = found.depth.shape
    there = found.depth[int(row * height / picture.height), int(column * width / picture.width)]
    return f"Depth at column {column}, row {row}: **{scale * there:.3g} m**"


def draw_points(points: np.ndarray) -> go.Figure:
    """A figure of a POINT array that turns: right, forward, up."""
    points = points[np.linspace(0, len(points) - 1, min(len(points), _CLOUD_POINTS)).astype(int)]
    x, y, z = points["position"].T
    colours = [f"rgb({red},{green},{blue})" for red, green, blue in points["colour"]]
    figure = go.Figure(go.Scatter3d(x=x, y=z, z=-y, mode="markers", marker={"size": 1.5, "color": colours}))
    axes: dict[str, Any] = {f"{name}axis": {"title": text} for name, text in zip("xyz", ("right", "forward", "up"))}
    # From behind the camera and a little above; as it was turned after a slider moved.
    eye = {"eye": {"x": 0, "y": -2, "z": 0.8}}
    figure.update_layout(
        height=600,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="turned",
        scene={"aspectmode": "data", "camera": eye, "uirevision": "turned", **axes},
    )
    return figure
