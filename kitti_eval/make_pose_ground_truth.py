"""Cuts a trajectory into snippets, the true one of a KITTI odometry sequence or any other, for kitti_eval.eval_pose.

Reads poses/09.txt and sequences/09/times.txt of --dataset_dir. With --trajectory_file it cuts that one, for the
paper's 5-frame ATE of a method that gives whole trajectories: in KITTI's format, with numbers of frames or without, or
in TUM's. Its poses are those of the frames in times.txt, by time, by number, or one by one; no snippet reaches over a
frame without a pose.

Writes one TUM file for every --seq_length consecutive frames, named by the first, with poses relative to that frame;
those of an earlier run give way.

Examples:
  python kitti_eval/make_pose_ground_truth.py --dataset_dir=/data/kitti_odometry --test_seq=9 --output_dir=truth/09
  python kitti_eval/make_pose_ground_truth.py --dataset_dir=/data/kitti_odometry --test_seq=9 \\
      --trajectory_file=orb_slam/09.txt --output_dir=orb_slam/09
  python kitti_eval/eval_pose.py --gtruth_dir=truth/09 --pred_dir=orb_slam/09
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.errors import UserError
from kitti_eval.odometry_evaluation import number_frames
from kitti_eval.pose_files import read_times, read_trajectory
from kitti_eval.snippets import cut_snippets, find_times_file, read_sequence, write_snippets

_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "Folder of KITTI odometry.", required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the snippets.", required=True)
_TEST_SEQ = flags.DEFINE_integer("test_seq", 9, "Number of the sequence.", lower_bound=0)
_SEQ_LENGTH = flags.DEFINE_integer("seq_length", 5, "Frames per snippet, odd.", lower_bound=3)
_TRAJECTORY_FILE = flags.DEFINE_string(
    "trajectory_file", "", "Trajectory to cut in place of the true one; of --dataset_dir only times.txt is needed then."
)


def main() -> None:
    sequence = f"{_TEST_SEQ.value:02d}"
    if _TRAJECTORY_FILE.value:
        times_s = read_times(find_times_file(Path(_DATASET_DIR.value), sequence))
        trajectory = read_trajectory(_TRAJECTORY_FILE.value)
        poses, frames = trajectory.poses, number_frames(trajectory, times_s, Path(_TRAJECTORY_FILE.value))
    else:
        poses, times_s = read_sequence(Path(_DATASET_DIR.value), sequence)
        frames = np.arange(len(poses))
    length = _SEQ_LENGTH.value
    try:
        snippets = cut_snippets(poses, length)
    except ValueError as error:
        raise UserError(f"--seq_length={length}: {error}") from error
    whole = [i for i in range(len(snippets)) if frames[i + length - 1] - frames[i] == length - 1]
    if not whole:
        raise UserError(f"{_TRAJECTORY_FILE.value}: expected poses of {length} consecutive frames, found none")
    progress = tqdm(snippets[whole], "writing", unit="snippet", disable=None)
    write_snippets(Path(_OUTPUT_DIR.value), progress, times_s, [int(frames[i]) for i in whole])
    print(f"{len(whole)} snippets of {length} frames in {_OUTPUT_DIR.value}")


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
