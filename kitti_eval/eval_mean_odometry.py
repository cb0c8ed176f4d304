"""Evaluates "Mean Odom.", the trivial predictor in the paper's Table 3: the mean motion of the training sequences.

The prediction for every test snippet is the mean path of all training snippets.

Example:
  python kitti_eval/eval_mean_odometry.py --dataset_dir=/data/kitti_odometry
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from kitti_eval import command, files
from kitti_eval.errors import UserError
from kitti_eval.pose_files import read_kitti
from kitti_eval.pose_metrics import compute_snippet_ate
from kitti_eval.published import read_published_ate
from kitti_eval.snippets import compute_mean_positions, cut_snippets, name_sequences, summarize_ates

_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "Folder of KITTI odometry; only poses/ is read.", required=True)
_TRAIN_SEQS = flags.DEFINE_list(
    "train_seqs", [f"{number:02d}" for number in range(9)], "Training sequences to average."
)
_TEST_SEQS = flags.DEFINE_list("test_seqs", ["09", "10"], "Sequences to evaluate.")
_SEQ_LENGTH = flags.DEFINE_integer("seq_length", 5, "Frames per snippet, odd.", lower_bound=3)
_OUTPUT_JSON = flags.DEFINE_string("output_json", "", "File for the results.")


def main() -> None:
    training, tests = (name_sequences(flag.name, flag.value) for flag in (_TRAIN_SEQS, _TEST_SEQS))
    mean_positions = compute_mean_positions(map(_read_snippets, training))
    summaries = {}
    for sequence in tests:
        snippets = _read_snippets(sequence)
        summary = summarize_ates(compute_snippet_ate(snippet[:, :3, 3], mean_positions) for snippet in snippets)
        line = f"sequence {sequence}: ATE {summary.mean:.3f} +- {summary.std:.3f} over {summary.snippets} snippets"
        published = read_published_ate(sequence).get("Mean Odom.")
        if published and _SEQ_LENGTH.value == 5:
            line += f"; published {published[0]:.3f} +- {published[1]:.3f}"
        print(line)
        summaries[sequence] = {"mean": summary.mean, "std": summary.std, "snippets": summary.snippets}
    if _OUTPUT_JSON.value:
        files.write_json(_OUTPUT_JSON.value, summaries)


def _read_snippets(sequence: str):
    path = Path(_DATASET_DIR.value) / "poses" / f"{sequence}.txt"
    try:
        return cut_snippets(read_kitti(path), _SEQ_LENGTH.value)
    except ValueError as error:
        raise UserError(f"{path}, --seq_length={_SEQ_LENGTH.value}: {error}") from error


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
