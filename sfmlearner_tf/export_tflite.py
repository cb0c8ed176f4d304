"""TFLite: a file for each network, for images of the networks' size alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils
from tqdm import tqdm

from sfmlearner_tf.export import Exportable, ExportedFunction, Inputs, make_function, track

# Largest relative difference from the networks that is rounding. With float16 the weights alone are rounded, to 11 bits
# each: it adds up over the layers, and shows most where disparity is smallest. With int8 it is the median that is
# bounded: at the edges of things single pixels differ by more than their neighbours do.
BOUNDS = {"float32": 1e-4, "float16": 2e-2, "int8": 5e-2}
_CONVOLUTIONS = {"CONV_2D", "TRANSPOSE_CONV"}


def write_tflite(
    networks: Exportable, folder: str, precision: str, calibration: Inputs | None = None
) -> list[ExportedFunction]:
    """Writes `depth_<precision>.tflite` and `pose_<precision>.tflite`, for the networks that there are.

    Each has one signature, the inputs and outputs of Exportable.predict. The batch size is free: 1, unless the
    interpreter is resized, which its signature runner does by itself. But int8 takes one image at a time: where all
    shapes are known, the interpreter of TensorFlow 2.15 has its fast kernels too.

    Args:
        precision: float32, float16 or int8. With int8 convolutions have weights and activations of 8 bits; the heads,
            what comes after them and the outputs are float32.
        calibration: for int8, inputs of each function, which give the range of every activation.
    """
    exported = []
    for name in networks.networks:
        alone = networks._replace(networks={name: networks.networks[name]})
        batch_size = 1 if precision == "int8" else None
        function = make_function(networks, name, any_size=False, batch_size=batch_size).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], track(alone))
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            assert calibration is not None
            content = _quantize(converter, tqdm(calibration[name], f"calibrating {name}", unit="input", disable=None))
        else:
            content = converter.convert()
        path = os.path.join(folder, f"{name}_{precision}.tflite")
        with open(path, "wb") as file:
            file.write(content)
        median, bound = precision == "int8", BOUNDS[precision]
        if precision == "float32":  # in the others it is not rounding that counts
            bound *= networks.networks[name].rounding
        exported.append(ExportedFunction(os.path.basename(path), name, bound, partial(load_tflite, path), median))
    return exported


def _quantize(converter: tf.lite.TFLiteConverter, calibration: tqdm) -> bytes:
    converter.representative_dataset = lambda: calibration
    # The converter gives a sigmoid 256 values between 0 and 1, too few for disparity.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["LOGISTIC"])
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    model = schema.ModelT.InitFromPackedBuf(debugger.calibrated_model, 0)
    _keep_floats(model)
    debugger.calibrated_model = flatbuffer_utils.convert_object_to_bytearray(model)
    return debugger.get_nondebug_quantized_model()


def _keep_floats(model: schema.ModelT) -> None:
    """Forgets the ranges measured for what is to stay float32, and with it the operation that it comes from.

    That is what is made of images and of sigmoids before a convolution gets it, what goes into a sigmoid, and what no
    convolution comes after.
    """
    (graph,) = model.subgraphs
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    steps = [(names[model.operatorCodes[step.opcodeIndex].builtinCode], step) for step in graph.operators]
    floats, taken = set(graph.inputs), set()
    for name, step in steps:
        if name in _CONVOLUTIONS or name == "CONCATENATION":
            taken.update(step.inputs)
        elif name == "LOGISTIC" or floats & set(step.inputs):
            floats.update(step.outputs)
    for_convolutions: set[int] = set()
    for name, step in reversed(steps):
        if name in _CONVOLUTIONS or (name != "LOGISTIC" and for_convolutions & set(step.outputs)):
            for_convolutions.update(step.inputs)
        for result in step.outputs:
            if result not in for_convolutions or (result in floats and result not in taken):
                graph.tensors[result].quantization = None


def load_tflite(path: str) -> Callable[..., Mapping[str, Any]]:
    """The function in a file."""
    with warnings.catch_warnings():
        # TensorFlow 2.21 still brings the interpreter, and says that it will leave one day.
        warnings.filterwarnings("ignore", "(?s).*tf.lite.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(path, num_threads=os.cpu_count())
    # In TensorFlow 2.15 the runner alone would leave the fast kernels (XNNPACK) out.
    interpreter.allocate_tensors()
    return interpreter.get_signature_runner()
