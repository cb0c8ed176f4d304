"""What training computes on."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform

import keras
import tensorflow as tf

from sfmlearner_tf.config import TrainConfig


def set_up_gpus() -> None:
    """What every command asks of GPUs, before anything is computed.

    Their memory is taken as it is needed, as the release does, so that evaluation runs beside training on one GPU. They
    compute in float32, as the release did; TensorFlow by itself would take TensorFloat-32, of 10 bits, where there is.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(False)


def return_freed_memory() -> None:
    """Gives memory that is not in use back to the system, to be called once in a while.

    Otherwise over hours of training ever more is kept: Python collects what refers to itself, as every drawn picture
    does, the later the more objects there are, and glibc keeps what is freed between what is in use.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def describe(config: TrainConfig) -> str:
    """The versions, devices and precision of this process, as lines to print."""
    gpus = list_gpus()
    cpu = f"CPU ({os.cpu_count()} cores, {platform.machine()})"
    devices = ", ".join(gpus) if gpus else f"{cpu}; no GPU found (TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's reasons)"
    return "\n".join(
        [
            f"TensorFlow {tf.__version__}, Keras {keras.__version__}",
            f"device: {devices}",
            f"precision: {config.precision}, XLA: {'on' if config.jit_compile else 'off'}",
        ]
    )


def list_gpus() -> list[str]:
    """The names of the GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
