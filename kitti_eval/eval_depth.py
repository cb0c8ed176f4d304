"""Evaluates depth predictions on KITTI and prints the table of the paper.

    python -m kitti_eval.eval_depth --kitti_dir=/data/kitti_raw --pred_file=predictions.npy

The predictions are one .npy file [N, h, w], depth in any unit, in the order of the test list (as
tools/test_kitti_depth.py writes them). Without further flags this is the evaluation of the SfMLearner release: the
lidar's forward distance as the truth, Garg's crop, the median of each image as its scale, depths limited after that.

    --split=stereo --kitti_dir=/data/kitti_2015     the 200 disparity images of KITTI 2015, with D1-all
    --ground_truth=improved                         KITTI's annotated depth, on the 652 images that have it
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command, files
from kitti_eval.depth_evaluation import DepthProtocol, EvaluationSummary, ImageResult, evaluate_images, summarize
from kitti_eval.depth_metrics import DepthErrors
from kitti_eval.image_lists import list_eigen_files, list_stereo_files, read_image_list

FLAGS = flags.FLAGS
flags.DEFINE_string("kitti_dir", None, "folder of KITTI raw (of KITTI 2015 with --split=stereo)", required=True)
flags.DEFINE_string("pred_file", None, "predictions, .npy [N, h, w]", required=True)
flags.DEFINE_string("test_file_list", "", "list of the test images, one a line; default: the list of the split")
flags.DEFINE_float("min_depth", 1e-3, "nearest depth that counts, metres", lower_bound=1e-6)
flags.DEFINE_float("max_depth", 80.0, "farthest depth that counts, metres", lower_bound=1e-6)
flags.DEFINE_enum("split", "eigen", ["eigen", "stereo"], "which test images")
flags.DEFINE_enum(
    "ground_truth",
    "eigen",
    ["eigen", "camera", "improved"],
    "eigen: the lidar's forward distance; camera: the lidar points' z in the camera; improved: KITTI's annotated depth",
)
flags.DEFINE_string("scale", "median", "median (of each image), none (predictions are metres), or one number for all")
flags.DEFINE_enum("crop", None, ["garg", "eigen", "none"], "part that counts; default: garg, none with --split=stereo")
flags.DEFINE_string("output_csv", "", "file for the errors of each image")
flags.DEFINE_string("output_json", "", "file for the means and the images left out")
flags.DEFINE_string("error_map_dir", "", "folder for a picture of each image's prediction and errors")
flags.DEFINE_integer("processes", 0, "worker processes; 0: one a core", lower_bound=0)


def main() -> None:
    if FLAGS.min_depth >= FLAGS.max_depth:
        raise command.UserError(f"--min_depth={FLAGS.min_depth} must be below --max_depth={FLAGS.max_depth}")
    if not Path(FLAGS.kitti_dir).is_dir():
        raise command.UserError(f"--kitti_dir={FLAGS.kitti_dir}: expected a folder, found none")
    protocol = _make_protocol()
    image_files, predictions = _match(read_predictions(FLAGS.pred_file), protocol.ground_truth == "improved")
    error_map_dir = Path(FLAGS.error_map_dir) if FLAGS.error_map_dir else None
    results = evaluate_images(Path(FLAGS.kitti_dir), image_files, predictions, protocol, FLAGS.processes, error_map_dir)
    finished = list(tqdm(results, "evaluating", len(image_files), unit="image", disable=None))
    summary = summarize(finished)
    _print_summary(summary)
    if FLAGS.output_csv:
        files.write_text(FLAGS.output_csv, _format_csv(finished))
    if FLAGS.output_json:
        files.write_json(FLAGS.output_json, _describe(summary, protocol))


def read_predictions(path: str) -> np.ndarray:
    """The array [N, h, w], memory-mapped. Raises UserError where the file holds anything else; pickles are refused."""
    try:
        predictions = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise command.UserError(
            f"{path}: expected a .npy file of numbers [N, h, w]; cannot read it ({error})"
        ) from error
    if not isinstance(predictions, np.ndarray) or predictions.ndim != 3 or predictions.dtype.kind != "f":
        found = (
            f"{predictions.dtype} {list(predictions.shape)}" if isinstance(predictions, np.ndarray) else "an archive"
        )
        raise command.UserError(f"{path}: expected a .npy file of floating numbers [N, h, w], found {found}")
    return predictions


def _make_protocol() -> DepthProtocol:
    stereo = FLAGS.split == "stereo"
    if stereo and FLAGS.ground_truth != "eigen":
        raise command.UserError(f"--ground_truth={FLAGS.ground_truth} has no meaning with --split=stereo")
    return DepthProtocol(
        ground_truth="stereo" if stereo else FLAGS.ground_truth,
        min_depth_m=FLAGS.min_depth,
        max_depth_m=FLAGS.max_depth,
        scale=_parse_scale(FLAGS.scale),
        crop=FLAGS.crop or ("none" if stereo else "garg"),
    )


def _parse_scale(text: str) -> float | None:
    if text in ("median", "none"):
        return None if text == "median" else 1.0
    try:
        scale = float(text)
    except ValueError:
        scale = np.nan
    if not (np.isfinite(scale) and scale > 0):
        raise command.UserError(f"--scale={text}: expected median, none or a number above 0")
    return scale


def _match(predictions: np.ndarray, improved: bool) -> tuple[list[str], np.ndarray]:
    """The images to evaluate and their predictions. Predictions of all 697 Eigen images serve the 652 improved ones."""
    if FLAGS.test_file_list:
        image_files = read_image_list(FLAGS.test_file_list)
    elif FLAGS.split == "stereo":
        image_files = list_stereo_files()
    else:
        all_files, image_files = list_eigen_files(), list_eigen_files(annotated_only=improved)
        if improved and len(predictions) == len(all_files):
            predictions = predictions[[all_files.index(image_file) for image_file in image_files]]
    if len(predictions) != len(image_files):
        raise command.UserError(
            f"{FLAGS.pred_file}: expected one prediction for each of the {len(image_files)} test images "
            f"({FLAGS.test_file_list or 'the list of the split'}), found {len(predictions)}"
        )
    return image_files, predictions


def _print_summary(summary: EvaluationSummary) -> None:
    errors = summary.errors
    # Parity: the release's columns; it printed 0 for D1-all wherever there is no disparity.
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
    command.run(main)


if __name__ == "__main__":
    cli()
