"""Measures how steady the scale of depth is over a clip, and how well one scale fits a whole trajectory.

    python benchmarks/scale.py --output_dir=scale --ckpt_files=recommended/model.latest,consistent/model.latest

Renders a held-out street of the generated world, 600 frames and about 210 m long. Prints for each checkpoint: the
spread of the scale between predicted and true depth over the first 200 frames, as standard deviation over mean; Abs Rel
with a scale for each image, and with one for all; and of the chained trajectory, after one 7-DoF alignment, t_err
(percent), r_err (degrees per 100 m) and ATE (m). A minute a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import flags

from kitti_eval import command
from kitti_eval.depth_metrics import compute_depth_errors, compute_median_scale, scale_and_clip
from kitti_eval.odometry_evaluation import evaluate_trajectory
from kitti_eval.trajectory import chain_motions, make_relative, pose_vectors_to_matrices
from sfmlearner_tf.tools import demo_world, held_out

FRAMES, CLIP = 600, 200
# Streets that no training of the demo or of benchmarks/learning.py has seen.
SEED = 77

_OUTPUT_DIR = flags.DEFINE_string("output_dir", "scale", "Folder of the rendered street.")
_CKPT_FILES = flags.DEFINE_list("ckpt_files", None, "Checkpoints with both networks.", required=True)


def main() -> None:
    from sfmlearner_tf.data.oxts import read_camera_poses

    drive = render(Path(_OUTPUT_DIR.value))
    triplets, poses = held_out.read_triplets(drive), read_camera_poses(str(drive.parent), drive.name)
    print("| checkpoint | spread of scale | Abs Rel, a scale an image | one scale | t_err | r_err | ATE |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for ckpt_file in _CKPT_FILES.value:
        depths, to_next = predict(ckpt_file, triplets)
        spread, own, shared = measure_depth(triplets, depths)
        predicted = chain_motions(np.linalg.inv(pose_vectors_to_matrices(to_next)))
        errors = evaluate_trajectory(make_relative(poses[1:]), make_relative(predicted))["7dof"]
        segments = errors.segments[:2] if errors.segments else (np.nan, np.nan)
        cells = [f"{value:.4f}" for value in (spread, own, shared, *segments, errors.ate_rmse_m)]
        print(f"| {ckpt_file} | {' | '.join(cells)} |", flush=True)


def render(folder: Path) -> Path:
    """The folder of the street's drive."""
    demo_world.call(
        "sfmlearner_tf.tools.make_synthetic_kitti",
        f"--output_dir={folder}",
        "--num_train_scenes=1",
        "--num_test_scenes=1",
        f"--frames_per_scene={FRAMES}",
        f"--img_height={demo_world.HEIGHT}",
        f"--img_width={demo_world.WIDTH}",
        f"--seed={SEED}",
        "--layouts=raw",
        "--stereo=false",
    )
    return demo_world.split_drives(folder / "kitti_raw")[1][0]


def predict(ckpt_file: str, triplets: list[held_out.Triplet]) -> tuple[np.ndarray, np.ndarray]:
    """Depth [n, H, W] of the triplets' middle frames, and the pose vectors [n, 6] to the frames after them."""
    from sfmlearner_tf import prediction

    height, width = triplets[0].depth_m.shape
    depth = prediction.load_depth_predictor(ckpt_file, height, width)
    pose = prediction.load_pose_predictor(ckpt_file, height, width, 3)
    depths, poses = [], []
    for batch in prediction.batched(triplets, 8):
        targets, sources = (np.stack([triplet[field] for triplet in batch]) for field in (0, 1))
        depths.append(depth.predict(targets).numpy())
        poses.append(pose.predict(targets, sources).numpy()[:, 1])
    return np.concatenate(depths), np.concatenate(poses)


def measure_depth(triplets: list[held_out.Triplet], depths: np.ndarray) -> tuple[float, float, float]:
    """The spread of the scale over the clip, and Abs Rel over all frames with a scale for each and with one for all."""
    pairs = []
    for triplet, depth in zip(triplets, depths):
        valid = (triplet.depth_m > held_out.MIN_DEPTH_M) & (triplet.depth_m < held_out.MAX_DEPTH_M)
        pairs.append((triplet.depth_m[valid], depth[valid]))
    scales = np.array([compute_median_scale(*pair) for pair in pairs])
    own, shared = (
        np.mean([_abs_rel(*pair, scale) for pair, scale in zip(pairs, chosen)])
        for chosen in (scales, [float(np.median(scales))] * len(pairs))
    )
    return float(scales[:CLIP].std() / scales[:CLIP].mean()), float(own), float(shared)


def _abs_rel(truth: np.ndarray, depth: np.ndarray, scale: float) -> float:
    limits = held_out.MIN_DEPTH_M, held_out.MAX_DEPTH_M
    return compute_depth_errors(truth, scale_and_clip(truth, depth, *limits, scale)).abs_rel


if __name__ == "__main__":
    command.run(main)
