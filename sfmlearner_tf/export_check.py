"""Compares exported files with the networks that they were made from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from sfmlearner_tf.data.frames import DECODE_ERRORS, to_rgb
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.export import Exported, Networks

# Pixels by which the made frames move.
_SHIFT_PX = 4


def make_inputs(networks: Networks, image_file: str | None) -> dict[str, dict[str, np.ndarray]]:
    """The inputs of each function: a picture, and for motion views of it that drift sideways.

    Args:
        image_file: the picture; None makes one with texture at all sizes.

    Raises:
        UserError: the picture cannot be read.
    """
    pose = networks.by_function.get("pose")
    num_sources = pose.num_sources if pose else 0
    picture = _read(image_file) if image_file else _make_texture(networks.height, networks.width)
    wide = picture.resize((networks.width + _SHIFT_PX * num_sources, networks.height), Image.Resampling.BICUBIC)
    frames = [
        np.asarray(wide)[np.newaxis, :, shift : shift + networks.width]
        for shift in range(0, _SHIFT_PX * num_sources + 1, _SHIFT_PX)
    ]
    target = frames.pop(num_sources // 2)
    inputs = {"depth": {"images": target}}
    if pose:
        inputs["pose"] = {"target": target, "sources": np.concatenate(frames, axis=-1)}
    return {function: inputs[function] for function in networks.by_function}


def compare(exported: Exported, networks: Networks, inputs: Mapping[str, np.ndarray]) -> float:
    """The largest relative difference of the outputs: of any number, from the largest of its vector or matrix row."""
    found = exported.load()(**inputs)
    expected = networks.predict(exported.function, {name: tf.constant(image) for name, image in inputs.items()})
    return max(_relative_difference(np.asarray(found[name]), value.numpy()) for name, value in expected.items())


def _relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected) / np.max(np.abs(expected), axis=-1, keepdims=True)))


def _read(image_file: str) -> Image.Image:
    try:
        with Image.open(image_file) as image:
            return to_rgb(image)
    except DECODE_ERRORS as error:
        raise UserError(f"{image_file}: expected an image; {getattr(error, 'strerror', None) or error}") from error


def _make_texture(height: int, width: int) -> Image.Image:
    random = np.random.RandomState(0)
    layers = []
    for cell_px in (1, 4, 16, 64):
        grid = random.randint(0, 256, (-(-height // cell_px), -(-width // cell_px), 3), np.uint8)
        layers.append(np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC), np.float32))
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))
