"""Measures depth and motion on real frames that no training has seen.

    python benchmarks/real_video.py --data_dir=data --output_dir=real --ckpt_files=one/model.latest,other/model.latest

--data_dir holds real_video (pieces of KITTI odometry 01 and 06, frames 0 to 50 of both grey cameras, at 128x416;
stereo_pairs: frames 36 to 50 at full size), kitti_odometry/poses and kitti_raw with drive 2011_09_26_drive_0052.
Training may see frames 0 to 37. Prints for each checkpoint: Abs Rel of frames 38 to 50 against semi-global matching
(depth_from_stereo), Abs Rel of the test frames of drive 0052 against its lidar, both median-scaled, inside the crop of
the paper, up to 80 m; and the 5-frame ATE of frames 40 to 50. Before them come the trivial predictors.

Computes the truth once, with OpenCV, and keeps it in --output_dir/truth.npz; then --data_dir is not read again.
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

from kitti_eval import command
from kitti_eval.depth_evaluation import DepthProtocol, evaluate_depth_map
from kitti_eval.depth_ground_truth import GroundTruth, load_ground_truth
from kitti_eval.errors import UserError
from kitti_eval.image_lists import list_eigen_files
from kitti_eval.pose_files import read_kitti
from kitti_eval.trajectory import pose_vectors_to_matrices

HEIGHT, WIDTH = 128, 416
SEQUENCES = ("01", "06")
SEEN, TESTED, DRIVEN = range(38), range(38, 51), range(40, 51)
BASELINE_M = 0.537
CAMERA_HEIGHT_M = 1.65
DRIVE = "2011_09_26_drive_0052_sync"
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
    if _PICTURE.value and not _CKPT_FILES.value:
        raise UserError("--picture: expected checkpoints to draw, found no --ckpt_files")
    measure(data, folder, _CKPT_FILES.value)
    if _PICTURE.value:
        draw_depths(load_truth(data, folder / "truth.npz"), _CKPT_FILES.value, Path(_PICTURE.value))


def measure(data: Path, folder: Path, ckpt_files: list[str]) -> None:
    """Prints the table; `folder`: where the truth is kept."""
    truth = load_truth(data, folder / "truth.npz")
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
    pose = prediction.load_pose_predictor(ckpt_file, height, width, 3)

    def predict(images: np.ndarray) -> list[np.ndarray]:
        return [depth.predict(shrink(image, height, width)[None]).numpy()[0] for image in images]

    errors = evaluate_depths(truth, predict)
    ates = []
    for sequence in SEQUENCES:
        frames = [shrink(frame, height, width) for frame in truth[f"frames_{sequence}"]]
        windows = [frames[i : i + 3] for i in range(len(frames) - 2)]
        motions = pose_vectors_to_matrices(pose.predict_windows(windows))
        # Window i gives the motion from its second frame to its third; the first window that from the first frame, too.
        to_next = [np.linalg.inv(motions[0, 0]), *(each[2] @ np.linalg.inv(each[1]) for each in motions)]
        ates.append(compute_ate_5(truth[f"poses_{sequence}"], np.array(to_next)))
    return Errors(*errors, *ates)


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
    predictors = {
        "/".join(Path(ckpt_file).parts[-2:]): prediction.load_depth_predictor(ckpt_file, height, width)
        for ckpt_file in ckpt_files
    }
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


def make_depth_norm() -> Any:
    from matplotlib.colors import LogNorm

    return LogNorm(3, PROTOCOL.max_depth_m, clip=True)


def shrink_depth(depth_m: np.ndarray) -> np.ndarray:
    """The nearest depth of each pixel at 128x416, 0 where none is known."""
    rows, columns = np.nonzero(depth_m)
    small = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    cells = rows * HEIGHT // depth_m.shape[0], columns * WIDTH // depth_m.shape[1]
    np.minimum.at(small, cells, depth_m[rows, columns])
    return np.where(np.isfinite(small), small, 0)


def load_truth(data: Path, path: Path) -> dict[str, np.ndarray]:
    """The images, depths (0: unknown) and poses that are tested on, and the mean depth of the frames seen."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        truth = make_truth(data)
        aside = path.with_suffix(".writing.npz")
        np.savez_compressed(aside, **truth)  # type: ignore[arg-type]
        aside.replace(path)
    return dict(np.load(path))


def check_data(data: Path) -> None:
    """Raises UserError where the folder is not that of the recordings."""
    for name in ("real_video/stereo_pairs", "kitti_odometry/poses", f"kitti_raw/2011_09_26/{DRIVE}"):
        if not (data / name).is_dir():
            raise UserError(f"--data_dir={data}: expected the recordings, found no {name} there")


def make_truth(data: Path) -> dict[str, np.ndarray]:
    check_data(data)
    truth: dict[str, np.ndarray] = {}
    seen = []
    for sequence in SEQUENCES:
        pairs = data / "real_video" / "stereo_pairs" / sequence
        calibration = np.loadtxt(pairs / "calib.txt").reshape(-1, 3, 4)[0]
        images = [[_read(pairs / f"image_{side}" / f"{i:06d}.png") for side in (0, 1)] for i in TESTED]
        height, width = images[0][0].shape[:2]
        truth[f"depths_{sequence}"] = np.stack(
            [depth_from_stereo(left, right, calibration[0, 0]).astype(np.float16) for left, right in images]
        )
        truth[f"images_{sequence}"] = np.stack([shrink(left) for left, _ in images])
        scale = np.array([WIDTH / width, HEIGHT / height])
        truth[f"focal_{sequence}"] = calibration[[0, 1], [0, 1]] * scale
        truth[f"centre_{sequence}"] = calibration[:2, 2] * scale
        folders = [data / "real_video" / f"kitti_odometry_{sequence}_{side}" for side in (0, 1)]
        for i in SEEN:
            left, right = (_read(folder / f"{i:06d}.jpg") for folder in folders)
            seen.append(depth_from_stereo(left, right, truth[f"focal_{sequence}"][0]))
        truth[f"frames_{sequence}"] = np.stack([_read(folders[0] / f"{i:06d}.jpg") for i in DRIVEN])
        poses = read_kitti(data / "kitti_odometry" / "poses" / f"{sequence}.txt")
        truth[f"poses_{sequence}"] = poses[list(DRIVEN)]
    truth["mean_depth"] = mean_over_seen(np.stack(seen))
    listed = [name for name in list_eigen_files() if DRIVE in name]
    found = [(name, load_ground_truth(data / "kitti_raw", name, "eigen")) for name in listed]
    scanned = [(name, each) for name, each in found if each is not None]
    truth["images_0052"] = np.stack([shrink(_read(data / "kitti_raw" / name)) for name, _ in scanned])
    truth["depths_0052"] = np.stack([each.depth_m for _, each in scanned]).astype(np.float16)
    return truth


def depth_from_stereo(left: np.ndarray, right: np.ndarray, focal_px: float) -> np.ndarray:
    """Depth [H, W], metres, of the left image of a rectified pair; 0 where the two ways of matching do not agree."""
    import cv2

    channels, block = 1, 5
    count = 16 * int(np.ceil(left.shape[1] / 10 / 16))
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=8 * channels * block**2,
        P2=32 * channels * block**2,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
    )
    left, right = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    found = matcher.compute(left, right).astype(np.float32) / 16
    back = matcher.compute(right[:, ::-1].copy(), left[:, ::-1].copy())[:, ::-1].astype(np.float32) / 16
    rows, columns = np.indices(found.shape)
    there = np.clip(np.rint(columns - found).astype(int), 0, found.shape[1] - 1)
    agree = (found > 0.5) & (np.abs(back[rows, there] - found) <= 1)
    return np.where(agree, focal_px * BASELINE_M / np.maximum(found, 0.5), 0).astype(np.float32)


def mean_over_seen(depths_m: np.ndarray) -> np.ndarray:
    """The mean [H, W] of depths [N, H, W] where they are known; elsewhere that of the row, or of the nearest row."""
    known = depths_m > 0
    with np.errstate(invalid="ignore"):
        mean = depths_m.sum(0) / known.sum(0)
        rows = depths_m.sum((0, 2)) / known.sum((0, 2))
    measured = np.flatnonzero(np.isfinite(rows))
    rows = np.interp(np.arange(len(rows)), measured, rows[measured])
    return np.where(np.isfinite(mean), mean, rows[:, None])


def make_ground_plane(focal_px: float, horizon_px: float) -> np.ndarray:
    """Depth [H, W] of a flat road under a camera that looks ahead; above the horizon the farthest that counts."""
    below = np.arange(HEIGHT)[:, None] - horizon_px
    depth = np.where(below > 0, focal_px * CAMERA_HEIGHT_M / np.maximum(below, 1e-6), PROTOCOL.max_depth_m)
    return np.broadcast_to(np.minimum(depth, PROTOCOL.max_depth_m), (HEIGHT, WIDTH))


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def shrink(image: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """As the release resizes the images of its depth test."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    command.run(main)
