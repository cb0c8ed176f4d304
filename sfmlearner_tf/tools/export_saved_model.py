"""Exports a checkpoint's networks for other programs: SavedModel, TFLite, ONNX.

    python tools/export_saved_model.py --ckpt_file=checkpoints/mine/model.latest --output_dir=exported
    python tools/export_saved_model.py --ckpt_file=checkpoints/mine/model.latest --output_dir=exported \\
        --format=saved_model,tflite,onnx --precision=float32,float16 --verify

--output_dir becomes the SavedModel, with the files of the other formats in it, once all are written: an earlier export
stays until then. Exports of one checkpoint are the same, byte for byte; but ONNX's converter names the steps of the
network anew each time. The exported functions, for each network that the checkpoint has:

  depth   images -> depth and disparity, [B, H, W, 1], of arbitrary scale
  pose    target and sources (stacked on channels, in temporal order) -> poses [B, N, 6], target to source, as (tx, ty,
          tz, rx, ry, rz), and the matrices src_T_tgt [B, N, 4, 4]

Images are uint8 RGB, in batches of any size. A SavedModel takes images of any size, resizes them itself as Pillow does
(Lanczos for depth, bilinear for pose), and also returns depth_at_input_size and disparity_at_input_size. TFLite
(depth_float32.tflite etc.) and ONNX (depth.onnx, pose.onnx; needs the extra `onnx`) take images of --img_height x
--img_width only. float16 halves the size of a TFLite file; it still computes in float32.

--verify runs every file on an image and compares the results with the checkpoint's networks. If a relative difference
exceeds 1e-5 (SavedModel), 1e-4 (TFLite, ONNX) or 2e-2 (TFLite float16), nothing is written and the exit status is 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from absl import flags
from tqdm import tqdm

from kitti_eval import command
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.run_config import find_image_size

if TYPE_CHECKING:
    from sfmlearner_tf.export import Exportable, ExportedFunction

FORMATS = ("saved_model", "tflite", "onnx")
PRECISIONS = ("float32", "float16")

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
_PRECISION = flags.DEFINE_list("precision", ["float32"], "Precision of the TFLite weights: float32, float16 or both.")
_VERIFY = flags.DEFINE_bool("verify", False, "Compare every file with the checkpoint's networks.")
_VERIFY_IMAGE = flags.DEFINE_string("verify_image", None, "Image to verify with; by default a generated one.")


def main() -> None:
    check_choices("format", _FORMAT.value, FORMATS)
    check_choices("precision", _PRECISION.value, PRECISIONS)
    if _SEQ_LENGTH.value and _SEQ_LENGTH.value % 2 == 0:
        raise UserError(f"--seq_length={_SEQ_LENGTH.value}: expected an odd number")
    size = find_image_size(_CKPT_FILE.value, _IMG_HEIGHT.value, _IMG_WIDTH.value)
    # Imported late: TensorFlow takes seconds to load, and wrong flags should fail at once.
    from sfmlearner_tf import export, export_check
    from sfmlearner_tf.device import allow_memory_growth

    allow_memory_growth()
    writers = list_writers()
    networks = export.load_exportable(_CKPT_FILE.value, *size, _SEQ_LENGTH.value)
    inputs = export_check.make_inputs(networks, _VERIFY_IMAGE.value)
    with export.replace_export(_OUTPUT_DIR.value) as folder:
        exported = [
            function
            for write in tqdm(writers, "exporting", unit="format", disable=None)
            for function in write(networks, folder)
        ]
        lines = [describe(function) for function in exported]
        if _VERIFY.value or _VERIFY_IMAGE.value:
            differences = [export_check.compare(function, networks, inputs[function.function]) for function in exported]
            lines = [
                f"{line}: largest relative difference {difference:.1e}" for line, difference in zip(lines, differences)
            ]
            check_differences(exported, lines, differences)
    print(describe_networks(networks), *lines, sep="\n")


def check_choices(flag: str, values: list[str], choices: tuple[str, ...]) -> None:
    """Raises UserError if there are no values or one is not among the choices."""
    wrong = sorted(set(values) - set(choices))
    if wrong or not values:
        found = f"found {', '.join(wrong)}" if wrong else "found none"
        raise UserError(f"--{flag}: expected any of {', '.join(choices)}, {found}")


def list_writers() -> list[Callable[[Exportable, str], list[ExportedFunction]]]:
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
            partial(export_tflite.write_tflite, precision=name) for name in PRECISIONS if name in _PRECISION.value
        ]
    if "onnx" in _FORMAT.value:
        export_onnx.check_onnx()
        writers.append(export_onnx.write_onnx)
    return writers


def check_differences(exported: list[ExportedFunction], lines: list[str], differences: list[float]) -> None:
    """Raises UserError if a difference exceeds its bound or is NaN."""
    for function, line, difference in zip(exported, lines, differences):
        if not difference <= function.bound:
            raise UserError(f"{line}, expected up to {function.bound:.0e}; nothing was written")


def describe(function: ExportedFunction) -> str:
    return f"{os.path.join(_OUTPUT_DIR.value, function.file)}, {function.function}"


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
