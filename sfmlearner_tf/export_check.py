"""Compares exported files with the networks they were made from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from sfmlearner_tf.data.frames import open_image
from sfmlearner_tf.export import Exportable, ExportedFunction

# Shift between the views made from one image.
_SHIFT_PX = 4


def make_inputs(networks: Exportable, image_file: str | None) -> dict[str, dict[str, np.ndarray]]:
    """The inputs of each function: an image and, for pose, views of it that shift sideways.

    Args:
        image_file: the image; None makes one with texture at all scales.

    Raises:
        UserError: the image cannot be read.
    """
    pose = networks.networks.get("pose")
    num_sources = pose.num_sources if pose else 0
    picture = open_image(image_file) if image_file else _make_texture(networks.height, networks.width)
    wide = picture.resize((networks.width + _SHIFT_PX * num_sources, networks.height), Image.Resampling.BICUBIC)
    frames = [
        np.asarray(wide)[np.newaxis, :, shift : shift + networks.width]
        for shift in range(0, _SHIFT_PX * num_sources + 1, _SHIFT_PX)
    ]
    target = frames.pop(num_sources // 2)
    inputs = {"depth": {"images": target}}
    if pose:
        inputs["pose"] = {"target": target, "sources": np.concatenate(frames, axis=-1)}
    return {function: inputs[function] for function in networks.networks}


def compare(exported: ExportedFunction, networks: Exportable, inputs: Mapping[str, np.ndarray]) -> float:
    """The largest difference between outputs, each relative to the largest number in its vector or matrix row."""
    found = exported.load()(**inputs)
    expected = networks.predict(exported.function, {name: tf.constant(image) for name, image in inputs.items()})
    return max(_relative_difference(np.asarray(found[name]), value.numpy()) for name, value in expected.items())


def _relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected) / np.max(np.abs(expected), axis=-1, keepdims=True)))


def _make_texture(height: int, width: int) -> Image.Image:
    random = np.random.RandomState(0)
    layers = []
    for cell_px in (1, 4, 16, 64):
        grid = random.randint(0, 256, (-(-height // cell_px), -(-width // cell_px), 3), np.uint8)
        layers.append(np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC), np.float32))
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))
