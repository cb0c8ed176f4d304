"""Predicts depth for KITTI's test images, to be evaluated by kitti_eval.eval_depth.

Writes <output_dir>/<name of the checkpoint>.npy: float32 [N, img_height, img_width], depth of arbitrary scale, in the
order of the test list (697 images for the Eigen split); -1 everywhere for an image that --skip_missing passes over.

Example:
  python tools/test_kitti_depth.py --dataset_dir=/data/kitti_raw --ckpt_file=checkpoints/model-190532 --output_dir=out
  python kitti_eval/eval_depth.py --kitti_dir=/data/kitti_raw --pred_file=out/model-190532.npy
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.depth_evaluation import SKIPPED
from kitti_eval.errors import UserError
from kitti_eval.image_lists import list_test_files
from kitti_eval.images import find_image
from sfmlearner_tf.run_config import find_image_size

_BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Images per step.", lower_bound=1)
_IMG_HEIGHT = flags.DEFINE_integer(
    "img_height", None, "Height to resize to, pixels; by default that of the training run, else 128.", lower_bound=32
)
_IMG_WIDTH = flags.DEFINE_integer(
    "img_width", None, "Width to resize to, pixels; by default that of the training run, else 416.", lower_bound=32
)
_DATASET_DIR = flags.DEFINE_string(
    "dataset_dir", None, "Folder of KITTI raw (of KITTI 2015 with --split=stereo).", required=True
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the predictions.", required=True)
_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-190532.", required=True)
_SPLIT = flags.DEFINE_string("split", "eigen", "Test images: eigen, stereo, or a file that lists them, one per line.")
_TEST_FILE_LIST = flags.DEFINE_string("test_file_list", "", "Another name for a file given as --split.")
_SKIP_MISSING = flags.DEFINE_bool(
    "skip_missing",
    False,
    "Pass over listed images that are not there: eval_depth leaves them out.",
)


def main() -> None:
    """Predicts depth for all listed images and writes one file."""
    image_files = list_test_files(_SPLIT.value, _TEST_FILE_LIST.value)
    paths = [_find(image_file) for image_file in image_files]
    there = [path for path in paths if path]
    if not there:
        raise UserError(f"--dataset_dir={_DATASET_DIR.value}: expected {len(paths)} test images, found none")
    size = find_image_size(_CKPT_FILE.value, _IMG_HEIGHT.value, _IMG_WIDTH.value)
    # Imported late: TensorFlow takes seconds to load, and wrong flags should fail at once.
    from sfmlearner_tf.device import set_up_gpus
    from sfmlearner_tf.prediction import load_depth_predictor, predict_depths, write_stack

    set_up_gpus()
    predictor = load_depth_predictor(_CKPT_FILE.value, *size)
    found = predict_depths(predictor, there, _BATCH_SIZE.value)
    depths = (next(found) if path else np.full(size, SKIPPED, np.float32) for path in paths)
    output_file = Path(_OUTPUT_DIR.value, f"{Path(_CKPT_FILE.value).name}.npy")
    progress = tqdm(depths, "predicting", len(paths), unit="image", disable=None)
    write_stack(output_file, progress, (len(paths), *size))
    missing = f"; {len(paths) - len(there)} more are missing" if len(there) < len(paths) else ""
    print(f"{output_file}: depth of {len(there)} images{missing}")


def _find(image_file: str) -> Path | None:
    """The file of a listed image. Raises UserError if there is none, unless those are skipped: then None."""
    try:
        return find_image(_DATASET_DIR.value, image_file)
    except UserError:
        if not _SKIP_MISSING.value:
            raise
        return None


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
