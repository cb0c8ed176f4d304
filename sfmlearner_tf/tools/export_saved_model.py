"""Writes a checkpoint's networks as functions for other programs: SavedModel, TFLite, ONNX.

    python tools/export_saved_model.py --ckpt_file=checkpoints/mine/model.latest --output_dir=exported
    python tools/export_saved_model.py --ckpt_file=checkpoints/mine/model.latest --output_dir=exported \\
        --format=saved_model,tflite,onnx --precision=float32,float16 --verify

--output_dir becomes the SavedModel, with the other formats' files beside it. It holds these functions; a checkpoint
with one of the two networks gives that one's:

  depth   images -> depth and disparity, [B, H, W, 1], of arbitrary scale
  pose    target and sources (stacked on channels, in temporal order) -> poses [B, N, 6], target to source, as (tx, ty,
          tz, rx, ry, rz), and the matrices src_T_tgt [B, N, 4, 4]

Images are uint8 RGB, as many at a time as you like. A SavedModel takes them at any size and resizes them inside, to
what Pillow makes of them (Lanczos for depth, bilinear for motion), and gives depth_at_input_size and
disparity_at_input_size too. TFLite (depth_float32.tflite and so on) and ONNX (depth.onnx, pose.onnx; needs the extra
`onnx`) take images of --img_height x --img_width alone. float16 halves a TFLite file; it is computed in float32.

--verify runs every file on a picture and compares it with the checkpoint's networks. Beyond a relative difference of
1e-5 (SavedModel), 1e-4 (TFLite, ONNX) or 2e-2 (TFLite float16) nothing is written and the exit status is 1.
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

if TYPE_CHECKING:
    from sfmlearner_tf.export import Exported, Networks

FORMATS = ("saved_model", "tflite", "onnx")
PRECISIONS = ("float32", "float16")

_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-190532.", required=True)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder to write; it is new, empty or an earlier export, which is replaced.", required=True
)
_IMG_HEIGHT = flags.DEFINE_integer("img_height", 128, "Height that the networks work at, pixels.", lower_bound=32)
_IMG_WIDTH = flags.DEFINE_integer("img_width", 416, "Width that the networks work at, pixels.", lower_bound=32)
_SEQ_LENGTH = flags.DEFINE_integer(
    "seq_length", None, "Frames that the pose network looks at, odd; by default what the checkpoint has.", lower_bound=3
)
_FORMAT = flags.DEFINE_list("format", ["saved_model"], f"What to write: any of {', '.join(FORMATS)}, with commas.")
_PRECISION = flags.DEFINE_list("precision", ["float32"], "Of TFLite's weights: float32, float16 or both.")
_VERIFY = flags.DEFINE_bool("verify", False, "Compare every file with the checkpoint's networks.")
_VERIFY_IMAGE = flags.DEFINE_string("verify_image", None, "Picture to verify with; by default one is made.")


def main() -> None:
    check_choices("format", _FORMAT.value, FORMATS)
    check_choices("precision", _PRECISION.value, PRECISIONS)
    if _SEQ_LENGTH.value and _SEQ_LENGTH.value % 2 == 0:
        raise UserError(f"--seq_length={_SEQ_LENGTH.value}: expected an odd number")
    # TensorFlow takes seconds to load: what is wrong with the flags is told before.
    from sfmlearner_tf import export, export_check

    writers = list_writers()
    networks = export.load_networks(_CKPT_FILE.value, _IMG_HEIGHT.value, _IMG_WIDTH.value, _SEQ_LENGTH.value)
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
    """Raises UserError unless there are values and each is a choice."""
    wrong = sorted(set(values) - set(choices))
    if wrong or not values:
        found = f"found {', '.join(wrong)}" if wrong else "found none"
        raise UserError(f"--{flag}: expected any of {', '.join(choices)}, {found}")


def list_writers() -> list[Callable[[Networks, str], list[Exported]]]:
    """What writes each of the formats that are asked for.

    Raises:
        UserError: one of them needs a package that is not there.
    """
    from sfmlearner_tf import export, export_onnx, export_tflite

    writers: list[Callable[[Networks, str], list[Exported]]] = []
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


def check_differences(exported: list[Exported], lines: list[str], differences: list[float]) -> None:
    """Raises UserError where a difference is beyond its bound, or not a number."""
    for function, line, difference in zip(exported, lines, differences):
        if not difference <= function.bound:
            raise UserError(f"{line}, expected up to {function.bound:.0e}; nothing was written")


def describe(function: Exported) -> str:
    return f"{os.path.join(_OUTPUT_DIR.value, function.file)}, {function.function}"


def describe_networks(networks: Networks) -> str:
    """A line on what the checkpoint gave, and on what it lacks."""
    size = f"{networks.height}x{networks.width}"
    if "pose" not in networks.by_function:
        return f"{_CKPT_FILE.value} has no pose network: exported is depth at {size}"
    frames = networks.by_function["pose"].num_sources + 1
    if "depth" not in networks.by_function:
        return f"{_CKPT_FILE.value} has no depth network: exported is pose of {frames} frames at {size}"
    return f"{_CKPT_FILE.value}: exported are depth, and pose of {frames} frames, at {size}"


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
