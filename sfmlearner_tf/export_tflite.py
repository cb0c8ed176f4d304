"""TFLite: a file for each network, for images of the networks' size alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from sfmlearner_tf.export import Exportable, ExportedFunction, make_function, track

# Largest relative difference from the networks that is rounding. With float16 the weights alone are rounded, to 11 bits
# each: it adds up over the layers, and shows most where disparity is smallest.
BOUNDS = {"float32": 1e-4, "float16": 2e-2}


def write_tflite(networks: Exportable, folder: str, precision: str) -> list[ExportedFunction]:
    """Writes `depth_<precision>.tflite` and `pose_<precision>.tflite`, for the networks that there are.

    Each has one signature, the inputs and outputs of Exportable.predict. The batch size is free: 1, unless the
    interpreter is resized, which its signature runner does by itself.
    """
    exported = []
    for name in networks.networks:
        alone = networks._replace(networks={name: networks.networks[name]})
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [make_function(networks, name, any_size=False).get_concrete_function()], track(alone)
        )
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        path = os.path.join(folder, f"{name}_{precision}.tflite")
        with open(path, "wb") as file:
            file.write(converter.convert())
        exported.append(ExportedFunction(os.path.basename(path), name, BOUNDS[precision], partial(load_tflite, path)))
    return exported


def load_tflite(path: str) -> Callable[..., Mapping[str, Any]]:
    """The function in a file."""
    with warnings.catch_warnings():
        # TensorFlow 2.21 still brings the interpreter, and says that it will leave one day.
        warnings.filterwarnings("ignore", "(?s).*tf.lite.Interpreter is deprecated")
        return tf.lite.Interpreter(path).get_signature_runner()
