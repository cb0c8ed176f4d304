"""Evaluates a whole predicted trajectory: ATE, KITTI's t_err and r_err, and RPE, with four alignments.

The prediction is a file in KITTI or TUM format, or a folder of snippets (tools/test_kitti_pose.py), which are chained:
the motion from a frame to the next comes from the snippet with that frame in the middle. Poses are matched by time
where both sides have times, as in evo; by number where the prediction has 13 columns, the first of them the number of
the frame; else one by one from the start, as long as both have all frames. Both trajectories then start at the
identity.

Alignments: none; scale (one factor, by least squares about the start); scale_umeyama (the factor of 7dof alone, as
evo's -s); 6dof (rotation and translation); 7dof (these and a factor). Only those with a factor are fair to monocular
methods, whose scale is arbitrary.

  ate_rmse   root mean square distance of positions, m
  t_err      translation error over segments of 100 to 800 m / segment length, percent    } KITTI's odometry benchmark
  r_err      rotation error over the same segments / segment length, degrees per 100 m    }
  rpe_t      root mean square translation error from frame to frame, m
  rpe_r      root mean square rotation error from frame to frame, degrees

Example:
  python kitti_eval/eval_odometry.py --gtruth_file=poses/09.txt --pred=predictions/09 --plot_dir=plots
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import flags

from kitti_eval import command, files
from kitti_eval.errors import UserError
from kitti_eval.odometry_evaluation import AlignedErrors, evaluate_trajectory, read_ground_truth, read_prediction
from kitti_eval.plots import plot_paths, plot_segment_errors
from kitti_eval.pose_files import format_kitti, format_tum
from kitti_eval.snippets import SAME_FRAME_S
from kitti_eval.trajectory import ALIGNMENTS

_GTRUTH_FILE = flags.DEFINE_string("gtruth_file", None, "True trajectory, KITTI or TUM format.", required=True)
_TIMES_FILE = flags.DEFINE_string(
    "times_file", "", "KITTI's times.txt of the true trajectory, to match a prediction with gaps."
)
_PRED = flags.DEFINE_string(
    "pred", None, "Predicted trajectory, KITTI or TUM format, or a folder of snippets.", required=True
)
_MAX_TIME_DIFFERENCE = flags.DEFINE_float(
    "max_time_difference", SAME_FRAME_S, "Poses whose times are farther apart do not belong together, seconds.", 0
)
_SNIPPET_SCALE = flags.DEFINE_enum(
    "snippet_scale",
    "none",
    ["none", "ground_truth"],
    "none: chain snippets as predicted; ground_truth: first scale each to the true one, as for the ATE.",
)
flags.DEFINE_alias("scale_policy", "snippet_scale")
_ALIGN = flags.DEFINE_enum(
    "align", "7dof", list(ALIGNMENTS), "Alignment for the output files and plots; all are printed."
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", "", "File for all errors.")
_OUTPUT_KITTI = flags.DEFINE_string("output_kitti", "", "File for the aligned prediction in KITTI's format.")
_OUTPUT_TUM = flags.DEFINE_string("output_tum", "", "File for the aligned prediction in TUM's format (needs times).")
_PLOT_DIR = flags.DEFINE_string("plot_dir", "", "Folder for path.png and error_by_length.png.")


def main() -> None:
    truth = read_ground_truth(Path(_GTRUTH_FILE.value), Path(_TIMES_FILE.value) if _TIMES_FILE.value else None)
    scaled = _SNIPPET_SCALE.value == "ground_truth"
    matched = read_prediction(Path(_PRED.value), truth, scaled, _MAX_TIME_DIFFERENCE.value)
    gt, times_s = matched.gt, matched.times_s
    if _OUTPUT_TUM.value and times_s is None:
        raise UserError(f"--output_tum: neither {_GTRUTH_FILE.value} nor {_PRED.value} has times; give --times_file")
    errors = evaluate_trajectory(gt, matched.pred)
    _print_table(errors, len(gt))
    if len(gt) < matched.predicted:
        print(f"{matched.predicted - len(gt)} of {matched.predicted} predicted poses left out: no truth for them")
    if len(gt) < len(truth.poses):
        print(f"{len(truth.poses)} true poses, of which {len(gt)} are compared")
    aligned = errors[_ALIGN.value]
    if _OUTPUT_KITTI.value:
        files.write_text(_OUTPUT_KITTI.value, format_kitti(aligned.poses))
    if _OUTPUT_TUM.value and times_s is not None:
        files.write_text(_OUTPUT_TUM.value, format_tum(aligned.poses, times_s))
    if _OUTPUT_JSON.value:
        files.write_json(_OUTPUT_JSON.value, {kind: _describe(row) for kind, row in errors.items()})
    if _PLOT_DIR.value:
        _plot(gt, aligned)


def _print_table(errors: dict[str, AlignedErrors], frames: int) -> None:
    print(f"{'alignment':>13} {'ate_rmse':>10} {'t_err':>10} {'r_err':>10} {'rpe_t':>10} {'rpe_r':>10}")
    for kind, row in errors.items():
        kitti = f"{row.segments[0]:10.4f} {row.segments[1]:10.4f}" if row.segments else f"{'-':>10} {'-':>10}"
        print(f"{kind:>13} {row.ate_rmse_m:10.4f} {kitti} {row.rpe[0]:10.4f} {row.rpe[1]:10.4f}")
    segments = errors["none"].segments
    print(f"over {frames} frames and {segments.segments if segments else 'no'} segments of 100 to 800 m")


def _describe(errors: AlignedErrors) -> dict:
    return {
        "ate_rmse_m": errors.ate_rmse_m,
        "segments": errors.segments._asdict() if errors.segments else None,
        "by_length_m": {str(length): row._asdict() for length, row in errors.by_length.items()},
        **{f"rpe_{name}": value for name, value in errors.rpe._asdict().items()},
    }


def _plot(gt: np.ndarray, aligned: AlignedErrors) -> None:
    folder = Path(_PLOT_DIR.value)
    paths = {"ground truth": gt[:, :3, 3], f"prediction ({_ALIGN.value})": aligned.poses[:, :3, 3]}
    files.write_bytes(folder / "path.png", plot_paths(paths))
    if aligned.by_length:
        files.write_bytes(folder / "error_by_length.png", plot_segment_errors(aligned.by_length))


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
