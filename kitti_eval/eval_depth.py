"""Evaluates depth predictions on KITTI and prints the table of the paper.

The predictions are one .npy file [N, h, w], depth in any unit, in the order of the test list (as written by
tools/test_kitti_depth.py). The default is the evaluation of the SfMLearner release: the lidar's forward distance as
ground truth, Garg's crop, median scaling per image, depths clipped after scaling. Without disparities d1_all is
printed as 0, as there; JSON has null.

  --split=stereo            the 200 disparity images of KITTI 2015, with D1-all
  --ground_truth=improved   KITTI's annotated depth, on the 652 images that have it; numbers published on these are
                            usually without a crop: --crop=none

Example:
  python kitti_eval/eval_depth.py --kitti_dir=/data/kitti_raw --pred_file=predictions.npy
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command, files
from kitti_eval.depth_evaluation import DepthProtocol, EvaluationSummary, ImageResult, evaluate_images, summarize
from kitti_eval.depth_metrics import DepthErrors
from kitti_eval.errors import UserError
from kitti_eval.image_lists import list_eigen_files, list_test_files
from kitti_eval.images import MAX_PIXELS

_KITTI_DIR = flags.DEFINE_string(
    "kitti_dir", None, "Folder of KITTI raw (of KITTI 2015 with --split=stereo).", required=True
)
_PRED_FILE = flags.DEFINE_string("pred_file", None, "Predictions, .npy [N, h, w].", required=True)
_TEST_FILE_LIST = flags.DEFINE_string(
    "test_file_list", "", "List of the test images, one per line; default: the list of the split."
)
_SPLIT = flags.DEFINE_string("split", "eigen", "Test images: eigen, stereo, or a file that lists them, one per line.")
_MIN_DEPTH = flags.DEFINE_float("min_depth", 1e-3, "Minimum depth to evaluate, metres.", lower_bound=1e-6)
_MAX_DEPTH = flags.DEFINE_float("max_depth", 80.0, "Maximum depth to evaluate, metres.", lower_bound=1e-6)
_GROUND_TRUTH = flags.DEFINE_enum(
    "ground_truth",
    "eigen",
    ["eigen", "camera", "improved"],
    "eigen: the lidar's forward distance; camera: camera z of the same points; improved: KITTI's annotated depth.",
)
_SCALE = flags.DEFINE_string(
    "scale", "median", "median (per image), none (predictions are in metres), or one factor for all images."
)
_CROP = flags.DEFINE_enum(
    "crop", None, ["garg", "eigen", "none"], "Part of the image to evaluate; default: garg, none with --split=stereo."
)
_OUTPUT_CSV = flags.DEFINE_string("output_csv", "", "File for the errors of each image.")
_OUTPUT_JSON = flags.DEFINE_string("output_json", "", "File for the means and the images left out.")
_ERROR_MAP_DIR = flags.DEFINE_string("error_map_dir", "", "Folder for pictures of each prediction and its errors.")
_PROCESSES = flags.DEFINE_integer("processes", 0, "Worker processes; 0: one per core.", lower_bound=0)


def main() -> None:
    if not _MIN_DEPTH.value < _MAX_DEPTH.value < np.inf:
        raise UserError(f"--min_depth={_MIN_DEPTH.value} must be below --max_depth={_MAX_DEPTH.value}, both finite")
    if not Path(_KITTI_DIR.value).is_dir():
        raise UserError(f"--kitti_dir={_KITTI_DIR.value}: expected a folder, found none")
    protocol = _make_protocol()
    image_files, predictions = _match(read_predictions(_PRED_FILE.value), protocol.ground_truth == "improved")
    error_map_dir = Path(_ERROR_MAP_DIR.value) if _ERROR_MAP_DIR.value else None
    results = evaluate_images(
        Path(_KITTI_DIR.value), image_files, predictions, protocol, _PROCESSES.value, error_map_dir
    )
    finished = list(tqdm(results, "evaluating", len(image_files), unit="image", disable=None))
    summary = summarize(finished)
    _print_summary(summary)
    if _OUTPUT_CSV.value:
        files.write_text(_OUTPUT_CSV.value, _format_csv(finished))
    if _OUTPUT_JSON.value:
        files.write_json(_OUTPUT_JSON.value, _describe(summary, protocol))


def read_predictions(path: str) -> np.ndarray:
    """The array [N, h, w], memory-mapped. Raises UserError for any other content; pickles are not loaded."""
    try:
        predictions = np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged header is parsed as Python: what NumPy lets through differs by its version (TokenError, OverflowError,
    # IndexError, BadZipFile, ...).
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise UserError(f"{path}: expected a .npy file of numbers [N, h, w]; cannot read it ({reason})") from error
    if not isinstance(predictions, np.ndarray):
        raise UserError(f"{path}: expected a .npy file of numbers [N, h, w], found an archive")
    if predictions.ndim != 3 or predictions.dtype.kind != "f":
        found = f"{predictions.dtype} {list(predictions.shape)}"
        raise UserError(f"{path}: expected a .npy file of floating-point numbers [N, h, w], found {found}")
    if not 0 < math.prod(predictions.shape[1:]) <= MAX_PIXELS:
        raise UserError(f"{path}: expected the size of an image, found {list(predictions.shape)}")
    return predictions


def _make_protocol() -> DepthProtocol:
    stereo = _SPLIT.value == "stereo"
    if stereo and _GROUND_TRUTH.value != "eigen":
        raise UserError(f"--ground_truth={_GROUND_TRUTH.value} cannot be used with --split=stereo")
    return DepthProtocol(
        ground_truth="stereo" if stereo else _GROUND_TRUTH.value,
        min_depth_m=_MIN_DEPTH.value,
        max_depth_m=_MAX_DEPTH.value,
        scale=_parse_scale(_SCALE.value),
        crop=_CROP.value or ("none" if stereo else "garg"),
    )


def _parse_scale(text: str) -> float | None:
    if text in ("median", "none"):
        return None if text == "median" else 1.0
    try:
        scale = float(text)
    except ValueError:
        scale = np.nan
    if not (np.isfinite(scale) and scale > 0):
        raise UserError(f"--scale={text}: expected median, none or a number above 0")
    return scale


def _match(predictions: np.ndarray, improved: bool) -> tuple[list[str], np.ndarray]:
    """The images to evaluate and their predictions; picks the 652 images with improved depth from all 697 of Eigen."""
    image_files = list_test_files(_SPLIT.value, _TEST_FILE_LIST.value, annotated_only=improved)
    if improved and _SPLIT.value == "eigen" and not _TEST_FILE_LIST.value:
        all_files = list_eigen_files()
        if len(predictions) == len(all_files):
            predictions = predictions[[all_files.index(image_file) for image_file in image_files]]
    if len(predictions) != len(image_files):
        raise UserError(
            f"{_PRED_FILE.value}: expected one prediction for each of the {len(image_files)} test images "
            f"({_TEST_FILE_LIST.value or f'--split={_SPLIT.value}'}), found {len(predictions)}"
        )
    return image_files, predictions


def _print_summary(summary: EvaluationSummary) -> None:
    errors = summary.errors
    # Parity: the release's columns; it prints 0 for D1-all without disparities.
    columns = {**dict(zip(DepthErrors._fields[:4], errors[:4])), "d1_all": summary.d1_all or 0.0}
    columns.update(zip(DepthErrors._fields[4:], errors[4:]))
    print(", ".join(f"{name:>10}" for name in columns))
    print(", ".join(f"{value:10.4f}" for value in columns.values()))
    print(f"mean over {summary.evaluated} of {summary.listed} images")
    for image_file, reason in summary.left_out[:10]:
        print(f"left out: {image_file} ({reason})")
    if len(summary.left_out) > 10:
        print(f"left out: {len(summary.left_out) - 10} more (--output_json names them all)")


def _describe(summary: EvaluationSummary, protocol: DepthProtocol) -> dict:
    return {
        "mean": summary.errors._asdict(),
        "d1_all_percent": summary.d1_all,
        "listed": summary.listed,
        "evaluated": summary.evaluated,
        "left_out": [{"image": image_file, "reason": reason} for image_file, reason in summary.left_out],
        "protocol": {**vars(protocol), "scale": protocol.scale or "median"},
    }


def _format_csv(results: list[ImageResult]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *DepthErrors._fields, "d1_all_percent", "scale", "pixels", "left_out"])
    for result in results:
        errors = result.errors or [""] * len(DepthErrors._fields)
        writer.writerow([result.image_file, *errors, result.d1_all, result.scale, result.pixels, result.left_out])
    return text.getvalue()


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
