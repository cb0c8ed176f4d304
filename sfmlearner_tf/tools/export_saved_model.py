"""Exports a checkpoint's networks for other programs: SavedModel, TFLite, ONNX.

    python tools/export_saved_model.py --ckpt_file=checkpoints/mine/model.latest --output_dir=exported
    python tools/export_saved_model.py --ckpt_file=checkpoints/mine/model.latest --output_dir=exported \\
        --format=saved_model,tflite,onnx --precision=float32,float16,int8 --calibration_images=photos --verify

--output_dir becomes the SavedModel, with the files of the other formats in it, once all are written: an earlier export
stays until then. Exports of one checkpoint are the same, byte for byte; but ONNX's converter names the steps of the
network anew each time. The exported functions, for each network that the checkpoint has:

  depth   images -> depth and disparity, [B, H, W, 1], of arbitrary scale
  pose    target and sources (stacked on channels, in temporal order) -> poses [B, N, 6], target to source, as (tx, ty,
          tz, rx, ry, rz), and the matrices src_T_tgt [B, N, 4, 4]

Images are uint8 RGB, in batches of any size. A SavedModel takes images of any size, resizes them itself as Pillow does
(Lanczos for depth, bilinear for pose), and also returns depth_at_input_size and disparity_at_input_size. TFLite
(depth_float32.tflite etc.) and ONNX (depth.onnx, pose.onnx; needs the extra `onnx`) take images of --img_height x
--img_width only, int8 one at a time.

--precision is that of the TFLite files. float16 halves the size; it still computes in float32. int8 takes a quarter of
the size and less time: convolutions have weights and activations of 8 bits, the heads and what follows them float32.
The ranges of the activations are measured on your own pictures, --calibration_images: an image, a folder, a pattern or
a video of what the network will see, in the order they were taken; of more than 100, 100 spread evenly.

--verify runs every file and compares the results with the checkpoint's networks: on some of the calibration images if
there are any, else on one image. It prints the difference, the median time of 10 calls with one input, on this machine,
and the size. If a relative difference exceeds 1e-5 (SavedModel), 1e-4 (TFLite, ONNX) or 2e-2 (TFLite float16), or the
median of the relative differences exceeds 5e-2 (TFLite int8), nothing is written and the exit status is 1.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command
from sfmlearner_tf.data.sequences import Note
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.run_config import find_image_size
from sfmlearner_tf.tools.predict_input import Recording, list_recording, read_pictures, spread

if TYPE_CHECKING:
    from sfmlearner_tf.export import Exportable, ExportedFunction, Inputs
    from sfmlearner_tf.export_check import Check

FORMATS = ("saved_model", "tflite", "onnx")
PRECISIONS = ("float32", "float16", "int8")
# Inputs that calibrate, and those of them that verify.
_MAX_CALIBRATING, _MAX_VERIFYING = 100, 8

_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-190532.", required=True)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder to write: new, empty, or an earlier export, which is replaced.", required=True
)
_IMG_HEIGHT = flags.DEFINE_integer(
    "img_height", None, "Height of the input, pixels; by default that of the training run, else 128.", 32, 4096
)
_IMG_WIDTH = flags.DEFINE_integer(
    "img_width", None, "Width of the input, pixels; by default that of the training run, else 416.", 32, 4096
)
_SEQ_LENGTH = flags.DEFINE_integer(
    "seq_length", None, "Frames per input of the pose network, odd; by default read from the checkpoint.", lower_bound=3
)
_FORMAT = flags.DEFINE_list("format", ["saved_model"], f"Formats to write, comma-separated: {', '.join(FORMATS)}.")
_PRECISION = flags.DEFINE_list(
    "precision", ["float32"], f"Precisions of TFLite, comma-separated: {', '.join(PRECISIONS)}."
)
_CALIBRATION_IMAGES = flags.DEFINE_string(
    "calibration_images", None, "Pictures for int8: an image, a folder, a pattern such as 'a/*.jpg', or a video."
)
_VERIFY = flags.DEFINE_bool("verify", False, "Compare every file with the checkpoint's networks.")
_VERIFY_IMAGE = flags.DEFINE_string(
    "verify_image", None, "Image to verify with; by default those that calibrate, else a generated one."
)


def main() -> None:
    check_choices("format", _FORMAT.value, FORMATS)
    check_choices("precision", _PRECISION.value, PRECISIONS)
    if _SEQ_LENGTH.value and _SEQ_LENGTH.value % 2 == 0:
        raise UserError(f"--seq_length={_SEQ_LENGTH.value}: expected an odd number")
    pictures = list_calibration()
    size = find_image_size(_CKPT_FILE.value, _IMG_HEIGHT.value, _IMG_WIDTH.value)
    # Imported late: TensorFlow takes seconds to load, and wrong flags should fail at once.
    from sfmlearner_tf import export, export_check
    from sfmlearner_tf.device import set_up_gpus

    set_up_gpus()
    networks = export.load_exportable(_CKPT_FILE.value, *size, _SEQ_LENGTH.value)
    calibration = read_inputs(pictures, networks) if pictures else None
    writers = list_writers(calibration)
    if calibration and not _VERIFY_IMAGE.value:
        inputs = calibration
    else:
        inputs = export_check.make_inputs(networks, _VERIFY_IMAGE.value)
    with export.replace_export(_OUTPUT_DIR.value) as folder:
        exported = [
            function
            for write in tqdm(writers, "exporting", unit="format", disable=None)
            for function in write(networks, folder)
        ]
        lines = [os.path.join(_OUTPUT_DIR.value, function.file) + f", {function.function}" for function in exported]
        if _VERIFY.value or _VERIFY_IMAGE.value:
            verifying = {
                name: [own[number] for number in spread(len(own), _MAX_VERIFYING)] for name, own in inputs.items()
            }
            checks = [
                export_check.check(function, networks, verifying[function.function], folder)
                for function in tqdm(exported, "verifying", unit="file", disable=None)
            ]
            lines = [describe(*each) for each in zip(lines, exported, checks)]
            check_differences(exported, lines, checks)
    print(describe_networks(networks), *lines, sep="\n")


def list_calibration() -> Recording | None:
    """The pictures that calibrate; None where nothing asks for any."""
    wanted = "tflite" in _FORMAT.value and "int8" in _PRECISION.value
    if _CALIBRATION_IMAGES.value:
        return list_recording(_CALIBRATION_IMAGES.value, flag="calibration_images")
    if wanted:
        raise UserError("--precision=int8: expected --calibration_images, pictures of what the network will see")
    return None


def read_inputs(recording: Recording, networks: Exportable) -> Inputs:
    """What the networks get of pictures, for pose of pictures in a row; at most 100, spread evenly.

    Raises:
        UserError: one of the pictures cannot be read, or there are too few in a row.
    """
    from sfmlearner_tf.data.batches import stack_windows
    from sfmlearner_tf.prediction import make_resizers

    length = networks.networks["pose"].num_sources + 1 if "pose" in networks.networks else 1
    count = len(recording.frames)
    if count < length:
        raise UserError(f"--calibration_images: expected at least {length} pictures in a row, found {count}")
    windows = [range(first, first + length) for first in spread(count - length + 1, _MAX_CALIBRATING)]
    numbers = sorted({number for window in windows for number in window})
    resizers = make_resizers(**dict.fromkeys(networks.networks, networks))
    notes: list[Note] = []
    with contextlib.closing(read_pictures(recording, numbers, notes, resizers)) as pictures:
        progress = tqdm(pictures, "reading", len(numbers), unit="picture", disable=None)
        resized = {picture.number: picture.resized for picture in progress}
    if notes:
        raise UserError(f"--calibration_images: {notes[0].what}")
    inputs: dict[str, list[dict[str, np.ndarray]]] = {}
    if "depth" in resizers:
        inputs["depth"] = [{"images": resized[window[length // 2]]["depth"][np.newaxis]} for window in windows]
    if "pose" in resizers:
        index = networks.networks["pose"].target_index
        stacks = [stack_windows([[resized[number]["pose"] for number in window]], index) for window in windows]
        inputs["pose"] = [{"target": target, "sources": sources} for target, sources in stacks]
    return inputs


def check_choices(flag: str, values: list[str], choices: tuple[str, ...]) -> None:
    """Raises UserError if there are no values or one is not among the choices."""
    wrong = sorted(set(values) - set(choices))
    if wrong or not values:
        found = f"found {', '.join(wrong)}" if wrong else "found none"
        raise UserError(f"--{flag}: expected any of {', '.join(choices)}, {found}")


def list_writers(calibration: Inputs | None) -> list[Callable[[Exportable, str], list[ExportedFunction]]]:
    """The functions that write the formats in --format.

    Raises:
        UserError: one of them needs a package that is not installed.
    """
    from sfmlearner_tf import export, export_onnx, export_tflite

    writers: list[Callable[[Exportable, str], list[ExportedFunction]]] = []
    if "saved_model" in _FORMAT.value:
        writers.append(export.write_saved_model)
    if "tflite" in _FORMAT.value:
        writers += [
            partial(export_tflite.write_tflite, precision=name, calibration=calibration)
            for name in PRECISIONS
            if name in _PRECISION.value
        ]
    if "onnx" in _FORMAT.value:
        export_onnx.check_onnx()
        writers.append(export_onnx.write_onnx)
    return writers


def describe(line: str, function: ExportedFunction, check: Check) -> str:
    """A line with what the check of an exported function found: difference, time and size."""
    which = "median" if function.bounds_median else "largest"
    cost = f"{1e3 * check.call_s:.1f} ms per call, {check.size / 1e6:.1f} MB"
    return f"{line}: {which} relative difference {check.difference:.1e}, {cost}"


def check_differences(exported: list[ExportedFunction], lines: list[str], checks: list[Check]) -> None:
    """Raises UserError if a difference exceeds its bound or is NaN."""
    for function, line, check in zip(exported, lines, checks):
        if not check.difference <= function.bound:
            raise UserError(f"{line}; expected a difference up to {function.bound:.0e}; nothing was written")


def describe_networks(networks: Exportable) -> str:
    """A line on what was exported, and on what the checkpoint lacks."""
    size = f"{networks.height}x{networks.width}"
    if "pose" not in networks.networks:
        return f"{_CKPT_FILE.value} has no pose network: exported depth at {size}"
    frames = networks.networks["pose"].num_sources + 1
    if "depth" not in networks.networks:
        return f"{_CKPT_FILE.value} has no depth network: exported pose of {frames} frames at {size}"
    return f"{_CKPT_FILE.value}: exported depth, and pose of {frames} frames, at {size}"


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
