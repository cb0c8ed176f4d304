"""Evaluates predicted pose snippets and prints the mean error of the paper's Table 3.

Both folders hold one TUM file per snippet, with equal names, as written by tools/test_kitti_pose.py and
kitti_eval.make_pose_ground_truth. The error is the release's "ATE": each snippet is moved to the start of the true one
and scaled by the factor that fits best; the error is then sqrt(sum of squared position errors) / frames, which is not
the root mean square. For whole trajectories use kitti_eval.eval_odometry.

Example:
  python kitti_eval/eval_pose.py --gtruth_dir=truth/09 --pred_dir=predictions/09
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from kitti_eval import command, files
from kitti_eval.snippets import evaluate_snippets

_GTRUTH_DIR = flags.DEFINE_string("gtruth_dir", None, "Folder of the true snippets.", required=True)
_PRED_DIR = flags.DEFINE_string("pred_dir", None, "Folder of the predicted snippets.", required=True)
_OUTPUT_JSON = flags.DEFINE_string("output_json", "", "File for the mean and the error of each snippet.")


def main() -> None:
    ates, summary = evaluate_snippets(Path(_GTRUTH_DIR.value), Path(_PRED_DIR.value))
    print(f"Predictions dir: {_PRED_DIR.value}")
    print(f"ATE mean: {summary.mean:.4f}, std: {summary.std:.4f}")
    print(f"mean over {summary.snippets} of {summary.snippets + len(summary.unpredicted)} snippets")
    if summary.unpredicted:
        first = summary.unpredicted[0]
        print(f"left out: {len(summary.unpredicted)} without a prediction of two poses, from {first} on")
    if _OUTPUT_JSON.value:
        files.write_json(_OUTPUT_JSON.value, {**summary._asdict(), "ate": ates})


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
