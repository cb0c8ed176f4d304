"""Cuts the true poses of a KITTI odometry sequence into snippets, the ground truth of kitti_eval.eval_pose.

Reads poses/09.txt and sequences/09/times.txt. Writes one TUM file for every --seq_length consecutive frames, named by
the first, with poses relative to that frame; those of an earlier run give way.

Example:
  python kitti_eval/make_pose_ground_truth.py --dataset_dir=/data/kitti_odometry --test_seq=9 --output_dir=truth/09
"""

from __future__ import annotations

from pathlib import Path

from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.errors import UserError
from kitti_eval.snippets import cut_snippets, read_sequence, write_snippets

_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "Folder of KITTI odometry.", required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the snippets.", required=True)
_TEST_SEQ = flags.DEFINE_integer("test_seq", 9, "Number of the sequence.", lower_bound=0)
_SEQ_LENGTH = flags.DEFINE_integer("seq_length", 5, "Frames per snippet, odd.", lower_bound=3)


def main() -> None:
    poses, times_s = read_sequence(Path(_DATASET_DIR.value), f"{_TEST_SEQ.value:02d}")
    try:
        snippets = cut_snippets(poses, _SEQ_LENGTH.value)
    except ValueError as error:
        raise UserError(f"--seq_length={_SEQ_LENGTH.value}: {error}") from error
    progress = tqdm(snippets, "writing", unit="snippet", disable=None)
    write_snippets(Path(_OUTPUT_DIR.value), progress, times_s)
    print(f"{len(snippets)} snippets of {_SEQ_LENGTH.value} frames in {_OUTPUT_DIR.value}")


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
