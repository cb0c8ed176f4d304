"""Compares exported files with the networks they were made from, and times them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from sfmlearner_tf.data.frames import open_image
from sfmlearner_tf.export import Exportable, ExportedFunction, Inputs

# Shift between the views made from one image.
_SHIFT_PX = 4
_WARM_UP, _CALLS = 2, 10


class Check(NamedTuple):
    """How an exported function did.

    difference: from the networks, relative; the median where ExportedFunction.bounds_median, else the largest.
    call_s: the median time of a call, seconds. size: bytes.
    """

    difference: float
    call_s: float
    size: int


def make_inputs(networks: Exportable, image_file: str | None) -> Inputs:
    """An input for each function: an image and, for pose, views of it that shift sideways.

    Args:
        image_file: the image; None makes one with texture at all scales.

    Raises:
        UserError: the image cannot be read.
    """
    pose = networks.networks.get("pose")
    num_sources = pose.num_sources if pose else 0
    picture = open_image(image_file) if image_file else make_texture(networks.height, networks.width)
    wide = picture.resize((networks.width + _SHIFT_PX * num_sources, networks.height), Image.Resampling.BICUBIC)
    frames = [
        np.asarray(wide)[np.newaxis, :, shift : shift + networks.width]
        for shift in range(0, _SHIFT_PX * num_sources + 1, _SHIFT_PX)
    ]
    target = frames.pop(pose.target_index if pose else 0)
    inputs = {"depth": [{"images": target}]}
    if pose:
        inputs["pose"] = [{"target": target, "sources": np.concatenate(frames, axis=-1)}]
    return {function: inputs[function] for function in networks.networks}


def check(
    exported: ExportedFunction, networks: Exportable, inputs: Sequence[Mapping[str, np.ndarray]], folder: str
) -> Check:
    """Runs a function of an export in `folder` on each of the inputs."""
    run = exported.load()
    differences: dict[str, list[np.ndarray]] = {}
    for images in inputs:
        found = run(**images)
        expected = networks.predict(exported.function, {name: tf.constant(image) for name, image in images.items()})
        for name, value in expected.items():
            differences.setdefault(name, []).append(_relative_differences(np.asarray(found[name]), value.numpy()))
    # Of either a NaN makes a NaN.
    summarize = np.median if exported.bounds_median else np.max
    difference = np.max([summarize(np.concatenate(each)) for each in differences.values()])
    return Check(float(difference), _time(lambda: run(**inputs[0])), _measure_size(exported, folder))


def _time(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_WARM_UP + _CALLS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[_WARM_UP:])


def _relative_differences(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Each relative to the largest number in its vector or matrix row."""
    return np.abs(found - expected) / np.max(np.abs(expected), axis=-1, keepdims=True)


def _measure_size(exported: ExportedFunction, folder: str) -> int:
    paths = [Path(folder, exported.file)]
    if exported.file == "saved_model.pb":
        paths += Path(folder, "variables").iterdir()
    return sum(os.path.getsize(path) for path in paths)


def make_texture(height: int, width: int, seed: int = 0) -> Image.Image:
    """A picture with texture at all scales."""
    random = np.random.RandomState(seed)
    layers = []
    for cell_px in (1, 4, 16, 64):
        grid = random.randint(0, 256, (-(-height // cell_px), -(-width // cell_px), 3), np.uint8)
        layers.append(np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC), np.float32))
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))
