"""Cuts the true poses of a KITTI odometry sequence into snippets, the ground truth of kitti_eval.eval_pose.

    python -m kitti_eval.make_pose_ground_truth --dataset_dir=/data/kitti_odometry --test_seq=9 --output_dir=truth/09

Reads poses/09.txt and sequences/09/times.txt and writes one TUM file for every run of --seq_length frames, named by
its first frame, with poses relative to that frame.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.snippets import cut_snippets, read_sequence, write_snippets

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset_dir", None, "folder of KITTI odometry", required=True)
flags.DEFINE_string("output_dir", None, "folder for the snippets", required=True)
flags.DEFINE_integer("test_seq", 9, "number of the sequence", lower_bound=0)
flags.DEFINE_integer("seq_length", 5, "frames of a snippet, odd", lower_bound=3)


def main() -> None:
    poses, times_s = read_sequence(Path(FLAGS.dataset_dir), f"{FLAGS.test_seq:02d}")
    try:
        snippets = cut_snippets(poses, FLAGS.seq_length)
    except ValueError as error:
        raise command.UserError(f"--seq_length={FLAGS.seq_length}: {error}") from error
    progress = tqdm(snippets, "writing", unit="snippet", disable=None)
    write_snippets(Path(FLAGS.output_dir), progress, times_s)
    print(f"{len(snippets)} snippets of {FLAGS.seq_length} frames in {FLAGS.output_dir}")


def cli() -> None:
    command.run(main)


if __name__ == "__main__":
    cli()
