"""Measures normals and edges of depth networks on held-out streets of the generated world, where both are exact.

    python benchmarks/surfaces.py --ckpt_files=recommended/model.latest,surfaces/model.latest

Renders four streets, every fifth frame. Prints for each checkpoint: Abs Rel up to 80 m (a median scale for each image);
the median angle between the normals of its depth and the true ones, where the surface is nearer than 80 m, degrees; the
share within 30 degrees; and precision, recall and F of edges of depth, a pixel of tolerance: of those that its depth
shows, where inverse depth leaves the plane of its neighbours, and of those that it learned (--edges), each at the
threshold with the best F over all frames. True edges are where neighbours are of two faces whose depths differ by more
than a tenth. Half a minute a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import flags
from scipy.ndimage import binary_dilation

from kitti_eval import command
from kitti_eval.depth_metrics import compute_depth_errors, scale_and_clip
from sfmlearner_tf import run_config
from sfmlearner_tf.data import synthetic, synthetic_render
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.tools import demo_world, held_out
from sfmlearner_tf.tools.predict_surfaces import find_normals

# Streets that no training of the demo or of benchmarks/learning.py has seen.
SEEDS = range(9001, 9005)
EVERY = 5
_JUMP = 1.1
_THRESHOLDS = np.geomspace(0.01, 0.9, 25)

_CKPT_FILES = flags.DEFINE_list("ckpt_files", None, "Checkpoints with a depth network.", required=True)


class Frame(NamedTuple):
    """image: uint8 [H, W, 3]. depth: [H, W], metres, 0 in the sky. normals: [H, W, 3]. edges: bool [H, W]."""

    image: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    edges: np.ndarray


def main() -> None:
    camera = synthetic.intrinsics(demo_world.HEIGHT, demo_world.WIDTH)
    frames = [frame for seed in SEEDS for frame in render_street(seed, camera)]
    print(
        "| checkpoint | Abs Rel | median angle | within 30 degrees | edges of depth: P, R, F | learned edges: P, R, F |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for ckpt_file in _CKPT_FILES.value:
        print(f"| {ckpt_file} | {' | '.join(measure(ckpt_file, frames, camera))} |", flush=True)


def render_street(seed: int, camera: np.ndarray) -> Iterator[Frame]:
    scene = synthetic.make_scene(seed)
    size = demo_world.HEIGHT, demo_world.WIDTH
    for world_T_cam in synthetic.trajectory(scene)[::EVERY]:
        image, depth = synthetic_render.render(scene, world_T_cam, camera, *size)
        face = synthetic_render.cast_centres(scene, np.linalg.inv(world_T_cam), camera, *size).face
        outward = np.cross(scene.faces.edge_s, scene.faces.edge_t)
        normals = (outward / np.linalg.norm(outward, axis=-1, keepdims=True)) @ world_T_cam[:3, :3]
        yield Frame(image, depth, normals[face], find_true_edges(depth, face))


def find_true_edges(depth: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Where a neighbour to the right or below is of another face and more than a tenth nearer or farther."""
    far = np.where(depth > 0, depth, 1e6)
    edges = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        before = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        jumps = np.abs(np.diff(np.log(far), axis=axis)) > np.log(_JUMP)
        edges[before] |= jumps & (np.diff(face, axis=axis) != 0)
    return edges


def find_depth_edges(depth: np.ndarray) -> np.ndarray:
    """How far inverse depth is from the plane of its neighbours along a row or a column, as a share of it: [H, W]."""
    inverse = 1 / depth
    bends = np.zeros(depth.shape)
    bends[1:-1] = np.abs(np.diff(inverse, 2, axis=0))
    bends[:, 1:-1] = np.maximum(bends[:, 1:-1], np.abs(np.diff(inverse, 2, axis=1)))
    return bends / inverse


def measure(ckpt_file: str, frames: list[Frame], camera: np.ndarray) -> list[str]:
    """The cells of one checkpoint's row."""
    from sfmlearner_tf import prediction

    size = demo_world.HEIGHT, demo_world.WIDTH
    predictor = prediction.load_depth_predictor(ckpt_file, *size)
    depths = [predictor.predict(frame.image[np.newaxis]).numpy()[0] for frame in frames]
    intrinsics = Intrinsics(camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2])
    abs_rels, angles = [], []
    for frame, depth in zip(frames, depths):
        valid = (frame.depth > held_out.MIN_DEPTH_M) & (frame.depth < held_out.MAX_DEPTH_M)
        truth, limits = frame.depth[valid], {"min_depth_m": held_out.MIN_DEPTH_M, "max_depth_m": held_out.MAX_DEPTH_M}
        abs_rels.append(compute_depth_errors(truth, scale_and_clip(truth, depth[valid], **limits)).abs_rel)
        cosines = np.sum(find_normals(depth, frame.image, intrinsics) * frame.normals, axis=-1)
        angles.append(np.degrees(np.arccos(np.clip(cosines[valid], -1, 1))))
    all_angles, true_edges = np.concatenate(angles), [frame.edges for frame in frames]
    cells = [f"{np.mean(abs_rels):.4f}", f"{np.median(all_angles):.1f}", f"{100 * np.mean(all_angles < 30):.0f} %"]
    cells.append(score_edges([find_depth_edges(depth) for depth in depths], true_edges))
    config = run_config.read_beside(ckpt_file)
    if config is None or not config.edges:
        return [*cells, ""]
    predict_edges = prediction.load_edge_predictor(ckpt_file, *size)
    return [*cells, score_edges([predict_edges(frame.image[np.newaxis]).numpy()[0] for frame in frames], true_edges)]


def score_edges(strengths: list[np.ndarray], true_edges: list[np.ndarray]) -> str:
    """Precision, recall and F at the threshold with the best F, edges a pixel off counted as right."""
    found, truth = np.stack(strengths), np.stack(true_edges)
    around = np.ones((1, 3, 3), bool)
    near_truth, best = binary_dilation(truth, around), (0.0, 0.0, 0.0)
    for threshold in _THRESHOLDS:
        edges = found > threshold
        if not edges.any():
            break
        precision, recall = near_truth[edges].mean(), binary_dilation(edges, around)[truth].mean()
        f_score = 2 * precision * recall / max(precision + recall, 1e-9)
        best = max(best, (f_score, precision, recall))
    return f"{best[1]:.2f}, {best[2]:.2f}, {best[0]:.2f}"


if __name__ == "__main__":
    command.run(main)
