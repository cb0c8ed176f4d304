"""ONNX: a file for each network, for images of the networks' size alone; needs the extra `onnx`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sfmlearner_tf.errors import UserError
from sfmlearner_tf.export import Exportable, ExportedFunction, make_function

# Largest relative difference from the networks that is rounding.
BOUND = 1e-4
_OPSET = 17


def check_onnx() -> None:
    """Raises UserError where the converter or the runtime is not installed."""
    for package in ("tf2onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"ONNX needs the package {package}: install the extra `onnx`, pip install '.[onnx]'")


def write_onnx(networks: Exportable, folder: str) -> list[ExportedFunction]:
    """Writes `depth.onnx` and `pose.onnx`, for the networks that there are.

    Each has the inputs and outputs of Exportable.predict; the batch size is free.
    """
    import tf2onnx

    exported = []
    for name in networks.networks:
        path = os.path.join(folder, f"{name}.onnx")
        function = make_function(networks, name, any_size=False)
        tf2onnx.convert.from_function(function, function.input_signature, opset=_OPSET, output_path=path)
        bound = BOUND * networks.networks[name].rounding
        exported.append(ExportedFunction(os.path.basename(path), name, bound, partial(load_onnx, path)))
    return exported


def load_onnx(path: str) -> Callable[..., Mapping[str, Any]]:
    """The function in a file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(names, inputs)))
