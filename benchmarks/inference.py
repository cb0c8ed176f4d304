"""Times depth from every format that a checkpoint can be exported to: SavedModel, TFLite and ONNX.

    python benchmarks/inference.py --calls=30
    python benchmarks/inference.py --ckpt_file=checkpoints/mine/model.latest --images=photos

Prints rows of the table of benchmarks/bench.py, of calls with one image in turns, so that a busy machine slows all
alike; with the size of each file and the difference from the checkpoint's network, the median for int8 and the largest
for the others. Without a checkpoint the weights are random, and without images those that calibrate int8 are made up:
fine for times, but not for differences. Minutes, most of them for ONNX.
"""

from __future__ import annotations

import tempfile
from functools import partial

import numpy as np
from absl import flags
from timing import row, time_in_turns

from kitti_eval import command
from sfmlearner_tf.tools.predict_input import list_recording, read_pictures, spread

IMAGES = 20

_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint; by default one of random weights.")
_IMAGES = flags.DEFINE_string("images", None, "Images that calibrate int8 and are compared; by default made up.")
_CALLS = flags.DEFINE_integer("calls", 30, "Calls that are timed, after a warm-up.", lower_bound=1)
_IMG_HEIGHT = flags.DEFINE_integer("img_height", 128, "Height of the image, pixels.", lower_bound=32)
_IMG_WIDTH = flags.DEFINE_integer("img_width", 416, "Width of the image, pixels.", lower_bound=32)
_ONNX = flags.DEFINE_bool("onnx", True, "Also ONNX; needs the extra `onnx`.")


def main() -> None:
    from sfmlearner_tf import export_check

    networks = load()
    inputs = {"depth": make_inputs(networks)}
    with tempfile.TemporaryDirectory() as folder:
        exported = write(networks, inputs, folder)
        names = [each.file.replace("saved_model.pb", "SavedModel") for each in exported]
        checks = [export_check.check(each, networks, inputs["depth"][:8], folder) for each in exported]
        calls = [partial(each.load(), **inputs["depth"][0]) for each in exported]
        seconds = time_in_turns(calls, _CALLS.value)
    for each, name, check, own in zip(exported, names, checks, seconds):
        which = "median" if each.bounds_median else "largest"
        note = f"{check.size / 1e6:.1f} MB, {which} relative difference {check.difference:.1e}"
        print(row(f"depth of one image, {name}", own, note))


def load():
    """The depth network, of the checkpoint or of random weights."""
    from sfmlearner_tf import export
    from sfmlearner_tf.networks.disp_net import DispNet

    size = _IMG_HEIGHT.value, _IMG_WIDTH.value
    network = export.load_exportable(_CKPT_FILE.value, *size).networks["depth"] if _CKPT_FILE.value else DispNet()
    return export.Exportable(*size, {"depth": network})


def make_inputs(networks) -> list[dict[str, np.ndarray]]:
    """Images for the network: the user's, or smooth noise."""
    from sfmlearner_tf.export_check import make_texture
    from sfmlearner_tf.prediction import make_resizers

    if not _IMAGES.value:
        textures = [make_texture(_IMG_HEIGHT.value, _IMG_WIDTH.value, seed) for seed in range(IMAGES)]
        return [{"images": np.asarray(texture)[np.newaxis]} for texture in textures]
    recording = list_recording(_IMAGES.value, flag="images")
    numbers = spread(len(recording.frames), IMAGES)
    resizers = make_resizers(depth=networks)
    return [{"images": each.resized["depth"][np.newaxis]} for each in read_pictures(recording, numbers, [], resizers)]


def write(networks, inputs, folder: str) -> list:
    """Exports the depth network in all formats."""
    from sfmlearner_tf import export, export_onnx, export_tflite

    exported = export.write_saved_model(networks, folder)
    for precision in export_tflite.BOUNDS:
        exported += export_tflite.write_tflite(networks, folder, precision, inputs)
    if _ONNX.value:
        export_onnx.check_onnx()
        exported += export_onnx.write_onnx(networks, folder)
    return exported


if __name__ == "__main__":
    command.run(main)
