"""Measures depth and motion on real frames that no training has seen.

    python benchmarks/real_video.py --data_dir=data --output_dir=real --ckpt_files=one/model.latest,other/model.latest

--data_dir holds real_video (pieces of KITTI odometry 01 and 06, frames 0 to 50 of both grey cameras, at 128x416;
stereo_pairs: frames 36 to 50 at full size), kitti_odometry/poses and kitti_raw with drive 2011_09_26_drive_0052.
Training may see frames 0 to 37. Prints for each checkpoint: Abs Rel of frames 38 to 50 against semi-global matching
(real_truth.depth_from_stereo), Abs Rel of the test frames of drive 0052 against its lidar, both median-scaled, inside
the crop of the paper, up to 80 m; and the 5-frame ATE of frames 40 to 50. Before them come the trivial predictors.

The truth is computed once and kept in --output_dir/truth.npz; then --data_dir is not read again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from ate import compute_ate_5
from PIL import Image
from real_truth import DRIVEN, HEIGHT, SEQUENCES, TESTED, WIDTH, load_truth, shrink, shrink_depth

from kitti_eval import command
from kitti_eval.depth_evaluation import DepthProtocol, evaluate_depth_map
from kitti_eval.depth_ground_truth import GroundTruth
from kitti_eval.errors import UserError
from kitti_eval.trajectory import pose_vectors_to_matrices

CAMERA_HEIGHT_M = 1.65
PROTOCOL = DepthProtocol()
HEADER = """| predictor | Abs Rel, odometry 01 | 06 | both | drive 0052 | 5-frame ATE, m, 01 | 06 |
| --- | --- | --- | --- | --- | --- | --- |"""

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Folder of the recordings.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "real", "Folder of the truth.")
_IMG_HEIGHT = flags.DEFINE_integer("img_height", HEIGHT, "Height of the networks' images.", lower_bound=1)
_IMG_WIDTH = flags.DEFINE_integer("img_width", WIDTH, "Width of them.", lower_bound=1)
_CKPT_FILES = flags.DEFINE_list("ckpt_files", [], "Checkpoints with both networks; none: the trivial predictors only.")
_PICTURE = flags.DEFINE_string("picture", None, "PNG to draw the depth of four frames into, a column a checkpoint.")
_WITH_IMAGES = flags.DEFINE_bool(
    "with_images", False, "With --picture, draw the frames and what is known of them, too."
)
_MOTION_PICTURE = flags.DEFINE_string(
    "motion_picture", None, "PNG to draw the learned speed and direction of each frame into, beside the true ones."
)
# The set of frames, and which of them.
DRAWN = (("01", 0), ("06", 0), ("06", 12), ("0052", 6))


class Errors(NamedTuple):
    """Abs Rel of each set of frames, and the ATE of each sequence, metres."""

    abs_rel_01: float
    abs_rel_06: float
    abs_rel_0052: float
    ate_01: float
    ate_06: float

    @property
    def abs_rel(self) -> float:
        """Of both odometry pieces, which count the same."""
        return (self.abs_rel_01 + self.abs_rel_06) / 2


def main() -> None:
    data, folder = Path(_DATA_DIR.value), Path(_OUTPUT_DIR.value)
    for picture in (_PICTURE, _MOTION_PICTURE):
        if picture.value and not _CKPT_FILES.value:
            raise UserError(f"--{picture.name}: expected checkpoints to draw, found no --ckpt_files")
    truth = load_truth(data, folder / "truth.npz")
    measure(truth, _CKPT_FILES.value)
    if _PICTURE.value:
        draw_depths(truth, _CKPT_FILES.value, Path(_PICTURE.value))
    if _MOTION_PICTURE.value:
        draw_motions(truth, _CKPT_FILES.value, Path(_MOTION_PICTURE.value))


def measure(truth: dict[str, np.ndarray], ckpt_files: list[str]) -> None:
    """Prints the table."""
    print(HEADER)
    for name, errors in evaluate_trivial_predictors(truth).items():
        print(format_row(name, errors))
    for ckpt_file in ckpt_files:
        print(format_row(ckpt_file, evaluate_checkpoint(truth, ckpt_file)), flush=True)


def format_row(name: str, errors: Errors) -> str:
    cells = [f"{value:.3f}" for value in (errors.abs_rel_01, errors.abs_rel_06, errors.abs_rel, errors.abs_rel_0052)]
    return f"| {name} | {' | '.join([*cells, f'{errors.ate_01:.4f}', f'{errors.ate_06:.4f}'])} |"


def evaluate_trivial_predictors(truth: dict[str, np.ndarray]) -> dict[str, Errors]:
    """What needs no network, by its name: the same depth for every image, and a straight drive."""
    plane = make_ground_plane(truth["focal_01"][1], truth["centre_01"][1])
    depths = {"constant depth": np.ones((HEIGHT, WIDTH)), "plane depth": plane, "mean depth": truth["mean_depth"]}
    ates = [evaluate_mean_motion(truth, each) for each in SEQUENCES]
    return {
        name: Errors(*evaluate_depths(truth, functools.partial(repeat, depth)), *ates) for name, depth in depths.items()
    }


def repeat(depth: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    """The same depth for every image."""
    return [depth] * len(images)


def evaluate_checkpoint(truth: dict[str, np.ndarray], ckpt_file: str) -> Errors:
    from sfmlearner_tf import prediction

    height, width = _IMG_HEIGHT.value, _IMG_WIDTH.value
    depth = prediction.load_depth_predictor(ckpt_file, height, width)

    def predict(images: np.ndarray) -> list[np.ndarray]:
        return [depth.predict(shrink(image, height, width)[None]).numpy()[0] for image in images]

    errors = evaluate_depths(truth, predict)
    motions = predict_motions(truth, ckpt_file)
    return Errors(*errors, *(compute_ate_5(truth[f"poses_{each}"], motions[each]) for each in SEQUENCES))


def predict_motions(truth: dict[str, np.ndarray], ckpt_file: str) -> dict[str, np.ndarray]:
    """Of each sequence the motion [n - 1, 4, 4] from each frame to the one after it."""
    from sfmlearner_tf import prediction

    height, width = _IMG_HEIGHT.value, _IMG_WIDTH.value
    pose = prediction.load_pose_predictor(ckpt_file, height, width, 3)
    to_next = {}
    for sequence in SEQUENCES:
        frames = [shrink(frame, height, width) for frame in truth[f"frames_{sequence}"]]
        windows = [frames[i : i + 3] for i in range(len(frames) - 2)]
        motions = pose_vectors_to_matrices(pose.predict_windows(windows))
        # Window i gives the motion from its second frame to its third; the first window that from the first frame, too.
        to_next[sequence] = np.array(
            [np.linalg.inv(motions[0, 0]), *(each[2] @ np.linalg.inv(each[1]) for each in motions)]
        )
    return to_next


def evaluate_depths(truth: dict[str, np.ndarray], predict: Callable[[np.ndarray], Any]) -> list[float]:
    """Abs Rel of each set of frames; `predict`: images uint8 [N, H, W, 3] -> N depth maps [H, W]."""
    errors = []
    for name in (*SEQUENCES, "0052"):
        pairs = zip(truth[f"depths_{name}"], predict(truth[f"images_{name}"]))
        results = [evaluate_depth_map(GroundTruth(gt_m.astype(np.float32)), pred, PROTOCOL) for gt_m, pred in pairs]
        errors.append(float(np.mean([result.errors.abs_rel for result in results if result.errors])))
    return errors


def evaluate_mean_motion(truth: dict[str, np.ndarray], sequence: str) -> float:
    """The ATE of a straight drive: any speed fits, as snippets are scaled."""
    forward = np.eye(4)
    forward[2, 3] = -1
    return compute_ate_5(truth[f"poses_{sequence}"], np.tile(forward, (len(DRIVEN) - 1, 1, 1)))


def draw_depths(truth: dict[str, np.ndarray], ckpt_files: list[str], path: Path) -> None:
    """Depth as each checkpoint has it, scaled to the median of what is known; near is bright."""
    from matplotlib.figure import Figure

    from sfmlearner_tf import prediction

    height, width = _IMG_HEIGHT.value, _IMG_WIDTH.value
    predictors = {shorten(each): prediction.load_depth_predictor(each, height, width) for each in ckpt_files}
    titles = [*(["frame", "known depth"] if _WITH_IMAGES.value else []), *predictors]
    figure = Figure(figsize=(3.4 * len(titles), 1.25 * len(DRAWN)), layout="constrained")
    axes = figure.subplots(len(DRAWN), len(titles), squeeze=False)
    for row, (name, number) in zip(axes, DRAWN):
        image = truth[f"images_{name}"][number]
        known = shrink_depth(truth[f"depths_{name}"][number].astype(np.float32))
        if _WITH_IMAGES.value:
            row[0].imshow(image)
            row[1].imshow(np.ma.masked_equal(known, 0), cmap="magma_r", norm=make_depth_norm())
        for axis, predictor in zip(row[-len(predictors) :], predictors.values()):
            depth = predictor.predict(shrink(image, height, width)[None]).numpy()[0]
            at_size = np.asarray(Image.fromarray(depth).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
            scale = np.median(known[known > 0]) / np.median(at_size[known > 0])
            axis.imshow(at_size * scale, cmap="magma_r", norm=make_depth_norm())
        frame = TESTED[number] if name in SEQUENCES else number
        row[0].set_ylabel(f"{name}, {frame}", fontsize=9)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=80)


def draw_motions(truth: dict[str, np.ndarray], ckpt_files: list[str], path: Path) -> None:
    """The camera's translation from each frame to the next, as each checkpoint has it and as it was."""
    from matplotlib.figure import Figure

    motions = {shorten(each): predict_motions(truth, each) for each in ckpt_files}
    true = {each: truth[f"poses_{each}"] for each in SEQUENCES}
    motions["true"] = {each: np.linalg.inv(poses[1:]) @ poses[:-1] for each, poses in true.items()}
    figure = Figure(figsize=(12, 6), layout="constrained")
    for row, sequence in zip(figure.subplots(len(SEQUENCES), 3), SEQUENCES):
        for name, found in motions.items():
            # Where the next frame's camera is.
            ahead = np.linalg.inv(found[sequence])[:, :3, 3]
            speed = np.linalg.norm(ahead, axis=1)
            right, down = (np.degrees(np.arctan2(ahead[:, axis], ahead[:, 2])) for axis in (0, 1))
            style = {"color": "black", "linewidth": 3} if name == "true" else {"marker": "."}
            for axis, values in zip(row, (speed / speed.mean(), right, down)):
                axis.plot(DRIVEN[:-1], values, label=name, **style)
        for axis, title in zip(row, ("speed over its mean", "direction, degrees to the right", "degrees down")):
            axis.set(title=f"{sequence}: {title}", xlabel="frame")
            axis.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=80)


def shorten(ckpt_file: str) -> str:
    """A checkpoint and its run."""
    return "/".join(Path(ckpt_file).parts[-2:])


def make_depth_norm() -> Any:
    from matplotlib.colors import LogNorm

    return LogNorm(3, PROTOCOL.max_depth_m, clip=True)


def make_ground_plane(focal_px: float, horizon_px: float) -> np.ndarray:
    """Depth [H, W] of a flat road under a camera that looks ahead; above the horizon the farthest that counts."""
    below = np.arange(HEIGHT)[:, None] - horizon_px
    depth = np.where(below > 0, focal_px * CAMERA_HEIGHT_M / np.maximum(below, 1e-6), PROTOCOL.max_depth_m)
    return np.broadcast_to(np.minimum(depth, PROTOCOL.max_depth_m), (HEIGHT, WIDTH))


if __name__ == "__main__":
    command.run(main)
