"""Predicts the camera motion of a KITTI odometry sequence, for kitti_eval.eval_pose and kitti_eval.eval_odometry.

Writes one TUM file for every run of as many frames as the pose network sees, named by the first: the poses relative to
that frame, with translation of arbitrary scale. Once all are predicted, they take the place of those of an earlier run.

Example:
  python tools/test_kitti_pose.py --dataset_dir=/data/kitti_odometry --test_seq=9 --ckpt_file=model-9 --output_dir=out
  python kitti_eval/make_pose_ground_truth.py --dataset_dir=/data/kitti_odometry --test_seq=9 --output_dir=truth
  python kitti_eval/eval_pose.py --gtruth_dir=truth --pred_dir=out
"""

from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.pose_files import read_times
from kitti_eval.snippets import write_snippets
from kitti_eval.trajectory import predicted_vectors_to_poses
from sfmlearner_tf.data.kitti_raw import numbered_images
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.run_config import find_image_size

_BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Snippets per step.", lower_bound=1)
_IMG_HEIGHT = flags.DEFINE_integer(
    "img_height", None, "Height to resize to, pixels; by default that of the training run, else 128.", lower_bound=32
)
_IMG_WIDTH = flags.DEFINE_integer(
    "img_width", None, "Width to resize to, pixels; by default that of the training run, else 416.", lower_bound=32
)
_SEQ_LENGTH = flags.DEFINE_integer(
    "seq_length", None, "Frames per snippet, odd; by default those that the pose network sees.", lower_bound=3
)
_TEST_SEQ = flags.DEFINE_integer("test_seq", 9, "Number of the sequence.", lower_bound=0)
_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "Folder of KITTI odometry.", required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the snippets.", required=True)
_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-100280.", required=True)


def main() -> None:
    """Predicts and writes all snippets of one sequence."""
    if _SEQ_LENGTH.value and _SEQ_LENGTH.value % 2 == 0:
        raise UserError(f"--seq_length={_SEQ_LENGTH.value}: expected an odd number")
    folder = Path(_DATASET_DIR.value, "sequences", f"{_TEST_SEQ.value:02d}")
    times_s = read_times(folder / "times.txt")
    paths = _list_images(folder / "image_2", times_s)
    size = find_image_size(_CKPT_FILE.value, _IMG_HEIGHT.value, _IMG_WIDTH.value)
    # Imported late: TensorFlow takes seconds to load, and wrong flags should fail at once.
    from sfmlearner_tf.prediction import load_pose_predictor, predict_motions

    predictor = load_pose_predictor(_CKPT_FILE.value, *size, _SEQ_LENGTH.value)
    length = predictor.seq_length
    if len(paths) < length:
        raise UserError(f"{folder}: expected at least {length} images, as the pose network sees, found {len(paths)}")
    count = len(paths) - length + 1
    progress = tqdm(
        predict_motions(predictor, paths, _BATCH_SIZE.value), "predicting", count, unit="snippet", disable=None
    )
    write_snippets(Path(_OUTPUT_DIR.value), map(predicted_vectors_to_poses, progress), times_s)
    print(f"{_OUTPUT_DIR.value}: {count} snippets of {length} frames")


def _list_images(folder: Path, times_s: np.ndarray) -> list[Path]:
    """The images of the sequence in order, one per time. Raises UserError if any is missing."""
    frames = numbered_images(str(folder))
    missing = [index for index in range(len(times_s)) if index not in frames]
    if missing or len(frames) != len(times_s):
        first = f"; {missing[0]:06d} is the first of {len(missing)} missing" if missing else ""
        raise UserError(
            f"{folder}: expected {len(times_s)} images, one per line of times.txt, found {len(frames)}{first}"
        )
    return [Path(frames[index].path) for index in range(len(times_s))]


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
