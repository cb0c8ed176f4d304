"""Validation: the losses on val.txt, and the errors of depth and motion where a KITTI raw tree knows the truth.

This is the one module of the package that uses kitti_eval, so that the metrics of the paper exist once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from kitti_eval.depth_evaluation import DepthProtocol, evaluate_depth_map
from kitti_eval.depth_ground_truth import GroundTruth, load_ground_truth
from kitti_eval.image_lists import read_image_list
from kitti_eval.pose_metrics import compute_translation_error
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data import batches
from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.data.frames import DECODE_ERRORS, to_rgb
from sfmlearner_tf.data.oxts import read_camera_poses
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.learner import SfMLearner

_Item = TypeVar("_Item")


class Window(NamedTuple):
    """A frame of a KITTI raw drive with its neighbours, in temporal order, and its true motion where that is known."""

    image_file: str  # of the frame in the middle, relative to the tree
    paths: list[Path]
    translations_m: np.ndarray | None  # [N, 3], target to source


class Validator:
    """Measures how good a learner is on frames that it does not learn from.

    Args:
        config: the folders of the data, and how many frames to take.
        learner: what is measured.
        examples: those of val.txt.

    Raises:
        UserError: val_kitti_dir or val_files is not as it must be.
    """

    def __init__(self, config: TrainConfig, learner: SfMLearner, examples: Sequence[Example]) -> None:
        self.config, self.learner = config, learner
        self.examples = _spread(examples, config.val_examples)
        self.windows = _find_windows(config, examples) if config.val_kitti_dir else []

    def measure(self) -> dict[str, float]:
        """The means over the validation frames.

        Returns:
            total, pixel, smooth and explain on val.txt, without augmentation; with val_kitti_dir also abs_rel (of
            median-scaled depth up to 80 m, Garg's crop) and translation_error (norm of the error / norm of the motion,
            after one scale per frame), each where the tree knows the truth.
        """
        return {**self._losses(), **_with_names(self._errors())}

    def _losses(self) -> dict[str, float]:
        totals: dict[str, float] = {}
        for batch in batches.make_plain_batches(self.config, self.examples):
            share = len(batch[0]) / len(self.examples)
            for name, value in self.learner.forward(*batch)["losses"].items():
                totals[name] = totals.get(name, 0.0) + share * float(value)
        return totals

    def _errors(self) -> Iterator[tuple[str, float]]:
        size = self.config.batch_size
        middle = self.config.num_sources // 2
        for start in range(0, len(self.windows), size):
            windows = self.windows[start : start + size]
            frames = [self._load(window.paths[middle], Image.Resampling.LANCZOS) for window in windows]
            depths = self.learner.predict_depth(np.stack(frames)).numpy()[..., 0]
            for window, depth in zip(windows, depths):
                truth = _load_truth(Path(self.config.val_kitti_dir), window.image_file)
                result = evaluate_depth_map(truth, depth, DepthProtocol()) if truth else None
                if result and result.errors:
                    yield "abs_rel", result.errors.abs_rel
            yield from self._motion_errors([window for window in windows if window.translations_m is not None], middle)

    def _motion_errors(self, windows: Sequence[Window], middle: int) -> Iterator[tuple[str, float]]:
        if not windows:
            return
        frames = [[self._load(path, Image.Resampling.BILINEAR) for path in window.paths] for window in windows]
        targets = np.stack([window[middle] for window in frames])
        sources = np.stack([np.concatenate(window[:middle] + window[middle + 1 :], axis=-1) for window in frames])
        for window, poses in zip(windows, self.learner.predict_pose(targets, sources).numpy()):
            yield "translation_error", compute_translation_error(np.asarray(window.translations_m), poses[:, :3])

    def _load(self, path: Path, resampling: Image.Resampling) -> np.ndarray:
        """An image at the networks' size, uint8 [H, W, 3]."""
        try:
            with Image.open(path) as image:
                return np.asarray(to_rgb(image).resize((self.config.img_width, self.config.img_height), resampling))
        except DECODE_ERRORS as error:
            raise UserError(f"{path}: expected an image; {error}") from None


def _find_windows(config: TrainConfig, examples: Sequence[Example]) -> list[Window]:
    """The frames to evaluate, with what is known of their motion; those at a drive's ends have no neighbours."""
    tree = Path(config.val_kitti_dir)
    if not tree.is_dir():
        raise UserError(f"--val_kitti_dir={tree}: expected the folder of KITTI raw, found none")
    try:
        listed = read_image_list(config.val_files) if config.val_files else _list_images(tree, examples)
    except UserError as error:
        raise UserError(f"--val_files: {error}") from None
    poses_of: dict[Path, np.ndarray | None] = {}
    windows = []
    for image_file in listed:
        image = tree / image_file
        drive = image.parents[2]
        if drive not in poses_of:
            poses_of[drive] = _read_poses(drive, image.parents[1].name[-2:])
        reach = config.num_sources // 2
        numbers = range(int(image.stem) - reach, int(image.stem) + reach + 1)
        paths = [image.with_name(f"{number:010d}{image.suffix}") for number in numbers]
        if all(path.is_file() for path in paths):
            windows.append(Window(image_file, paths, _true_translations(poses_of[drive], numbers)))
    windows = _spread(windows, config.val_examples)
    if not windows:
        raise UserError(f"--val_kitti_dir={tree}: expected the {len(listed)} listed frames with neighbours, found none")
    if not any(window.translations_m is not None or _load_truth(tree, window.image_file) for window in windows):
        raise UserError(
            f"--val_kitti_dir={tree}: expected velodyne_points, proj_depth or oxts beside the images, found none"
        )
    return windows


def _list_images(tree: Path, examples: Sequence[Example]) -> list[str]:
    """The examples' names in KITTI raw, such as date/drive/image_02/data/0000000005.png."""
    image_files = []
    for example in examples:
        drive, camera = example.folder[:-3], example.folder[-2:]
        folder = f"{drive[:10]}/{drive}/image_{camera}/data"
        suffix = ".jpg" if (tree / folder / f"{example.frame}.jpg").is_file() else ".png"
        image_files.append(f"{folder}/{example.frame}{suffix}")
    return image_files


def _read_poses(drive: Path, camera: str) -> np.ndarray | None:
    """world_T_cam [n, 4, 4] of a drive, None where it has no GPS/IMU recordings."""
    if not (drive / "oxts" / "data").is_dir():
        return None
    return read_camera_poses(str(drive.parent), drive.name, camera)


def _true_translations(world_T_cam: np.ndarray | None, numbers: Sequence[int]) -> np.ndarray | None:
    """Target to source [N, 3] of the frames of these numbers, metres; None where unknown or without motion."""
    if world_T_cam is None or numbers[-1] >= len(world_T_cam):
        return None
    middle = len(numbers) // 2
    src_T_tgt = np.linalg.inv(world_T_cam[list(numbers)]) @ world_T_cam[numbers[middle]]
    translations_m = np.delete(src_T_tgt[:, :3, 3], middle, axis=0)
    return translations_m if np.linalg.norm(translations_m) > 0.01 else None


def _load_truth(tree: Path, image_file: str) -> GroundTruth | None:
    """The annotated depth of a frame where there is one, else its lidar scan."""
    try:
        return load_ground_truth(tree, image_file, "improved") or load_ground_truth(tree, image_file, "eigen")
    except UserError as error:
        raise UserError(str(error)) from None


def _with_names(errors: Iterator[tuple[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for name, value in errors:
        values.setdefault(name, []).append(value)
    return {name: float(np.mean(found)) for name, found in values.items()}


def _spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` of them, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
