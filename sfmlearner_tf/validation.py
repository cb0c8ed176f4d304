"""Validation: the losses on val.txt, and the errors of depth and motion where a KITTI raw tree knows the truth.

The metrics are those of kitti_eval, so that they exist once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from kitti_eval.depth_evaluation import DepthProtocol, evaluate_depth_map
from kitti_eval.depth_ground_truth import GroundTruth, load_ground_truth
from kitti_eval.image_lists import read_image_list
from kitti_eval.images import find_image
from kitti_eval.pose_metrics import compute_translation_error
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data import batches
from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.data.frames import open_image
from sfmlearner_tf.data.oxts import read_camera_poses
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.learner import SfMLearner

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Window(NamedTuple):
    """A frame of a KITTI raw drive with its neighbours, in temporal order, and its true motion where that is known."""

    image_file: str  # of the target, relative to the tree
    paths: list[Path]
    translations_m: np.ndarray | None = None  # [N, 3], target to source


class Validator:
    """Measures how good a learner is on frames that it does not learn from.

    A file that is missing or damaged is left out with a warning: validation never ends training.

    Args:
        config: the folders of the data, and how many frames to take.
        learner: what is measured.
        examples: those of val.txt.

    Raises:
        UserError: val_kitti_dir or val_files is not as it must be, or best_metric cannot be measured there.
    """

    def __init__(self, config: TrainConfig, learner: SfMLearner, examples: Sequence[Example]) -> None:
        self.config, self.learner = config, learner
        self.examples = _spread(examples, config.val_examples)
        self._warned: set[str] = set()
        self.windows: list[Window] = []
        if config.val_kitti_dir:
            self.windows = [
                window._replace(translations_m=self._try(self._read_motion, window))
                for window in _find_windows(config, examples)
            ]
            self._check_truth()

    def measure(self) -> dict[str, float]:
        """The means over the validation frames.

        Returns:
            The losses on val.txt, without augmentation. With learn_intrinsics also fx, fy, cx and cy, pixels, the means
            of what is learned, and their standard deviations, fx_spread and so on. With val_kitti_dir also abs_rel (of
            median-scaled depth up to 80 m, Garg's crop), with speed_weight abs_rel_unscaled, and translation_error
            (norm of the error / norm of the motion, after one scale per frame), each where the tree knows the truth. A
            metric that no frame gives is left out.
        """
        return {**self._losses(), **_average(self._errors())}

    def _losses(self) -> dict[str, float]:
        totals: dict[str, float] = {}
        cameras: list[np.ndarray] = []
        loaded = [example for example in map(self._load_example, self.examples) if example]
        for batch in _cut(loaded, self.config.batch_size):
            outputs = self.learner.forward(batches.stack_examples(batch))
            for name, value in outputs["losses"].items():
                totals[name] = totals.get(name, 0.0) + len(batch) / len(loaded) * float(value)
            cameras.extend(outputs["intrinsics"].numpy())
        return {**totals, **(_describe(cameras) if self.config.learn_intrinsics and cameras else {})}

    def _errors(self) -> Iterator[tuple[str, float]]:
        for windows in _cut(self.windows, self.config.batch_size):
            yield from self._depth_errors(windows)
            yield from self._motion_errors([window for window in windows if window.translations_m is not None])

    def _depth_errors(self, windows: Sequence[Window]) -> Iterator[tuple[str, float]]:
        target = self.config.target_index
        found = [(window, self._load_image(window.paths[target], Image.Resampling.LANCZOS)) for window in windows]
        frames = [(window, frame) for window, frame in found if frame is not None]
        if not frames:
            return
        depths = self.learner.predict_depth(np.stack([frame for _, frame in frames])).numpy()[..., 0]
        for (window, _), depth in zip(frames, depths):
            truth = self._try(lambda file: _load_truth(Path(self.config.val_kitti_dir), file), window.image_file)
            result = evaluate_depth_map(truth, depth, DepthProtocol()) if truth else None
            if result and result.errors:
                yield "abs_rel", result.errors.abs_rel
            if truth and self.config.speed_weight:
                in_metres = evaluate_depth_map(truth, depth, DepthProtocol(scale=1.0))
                if in_metres.errors:
                    yield "abs_rel_unscaled", in_metres.errors.abs_rel

    def _motion_errors(self, windows: Sequence[Window]) -> Iterator[tuple[str, float]]:
        whole: list[tuple[Window, list[np.ndarray]]] = []
        for window in windows:
            images = [self._load_image(path, Image.Resampling.BILINEAR) for path in window.paths]
            found = [image for image in images if image is not None]
            if len(found) == len(images):
                whole.append((window, found))
        if not whole:
            return
        targets, sources = batches.stack_windows([images for _, images in whole], self.config.target_index)
        for (window, _), poses in zip(whole, self.learner.predict_pose(targets, sources).numpy()):
            yield "translation_error", compute_translation_error(np.asarray(window.translations_m), poses[:, :3])

    def _read_motion(self, window: Window) -> np.ndarray | None:
        """The true translations of a window, where there are GPS/IMU recordings and the camera moves."""
        image = Path(self.config.val_kitti_dir, window.image_file)
        drive, camera = image.parents[2], image.parents[1].name[-2:]
        if not (drive / "oxts" / "data").is_dir():
            return None
        frames = [int(path.stem) for path in window.paths]
        poses = read_camera_poses(str(drive.parent), drive.name, camera, frames)
        return _find_translations(poses, self.config.target_index)

    def _check_truth(self) -> None:
        """Raises UserError where no frame has any truth, or none the truth that best_metric needs."""
        metric, tree = self.config.best_metric, Path(self.config.val_kitti_dir)
        if not any(window.translations_m is not None or _has_depth(tree, window.image_file) for window in self.windows):
            raise UserError(
                f"val_kitti_dir={tree}: expected velodyne_points, proj_depth or oxts beside the images, found none"
            )
        has_truth = {
            "abs_rel": lambda window: self._try(lambda file: _load_truth(tree, file), window.image_file) is not None,
            "translation_error": lambda window: window.translations_m is not None,
        }
        if metric in has_truth and not any(map(has_truth[metric], self.windows)):
            needed = "velodyne_points or proj_depth" if metric == "abs_rel" else "oxts"
            raise UserError(f"best_metric={metric}: expected {needed} beside the images of {tree}, found none")

    def _load_example(self, example: Example) -> Batch | None:
        return self._try(lambda example: batches.read_example(self.config, example), example)

    def _load_image(self, path: Path, resampling: Image.Resampling) -> np.ndarray | None:
        """An image at the networks' size, uint8 [H, W, 3]."""
        size = self.config.img_width, self.config.img_height
        return self._try(lambda path: np.asarray(open_image(path).resize(size, resampling)), path)

    def _try(self, load: Callable[[_Item], _Result], item: _Item) -> _Result | None:
        """What `load` gives; None where it raises UserError, which is printed the first time."""
        try:
            return load(item)
        except UserError as error:
            if str(error) not in self._warned:
                tqdm.write(f"warning: validation leaves out {error}")
            self._warned.add(str(error))
            return None


def _find_windows(config: TrainConfig, examples: Sequence[Example]) -> list[Window]:
    """The frames to evaluate; those at a drive's ends have no neighbours."""
    tree = Path(config.val_kitti_dir)
    if not tree.is_dir():
        raise UserError(f"val_kitti_dir={tree}: expected the folder of KITTI raw, found none")
    try:
        listed = read_image_list(config.val_files) if config.val_files else _list_images(examples)
    except UserError as error:
        raise UserError(f"val_files: {error}") from None
    windows = []
    for image_file in listed:
        image = _find(tree, image_file)
        if len(Path(image_file).parts) < 4 or not image.stem.isdecimal():
            expected = "a name such as date/drive/image_02/data/0000000005.png"
            tqdm.write(f"warning: validation leaves out {image}: expected {expected}")
            continue
        first = int(image.stem) - config.target_index
        numbers = range(first, first + config.seq_length)
        paths = [image.with_name(f"{number:0{len(image.stem)}d}{image.suffix}") for number in numbers]
        if all(path.is_file() for path in paths):
            windows.append(Window(image_file, paths))
    if not windows:
        raise UserError(f"val_kitti_dir={tree}: expected the {len(listed)} listed frames with neighbours, found none")
    return _spread(windows, config.val_examples)


def _find(tree: Path, image_file: str) -> Path:
    """The file of a listed image; where there is none, the one that is listed."""
    try:
        return find_image(tree, image_file)
    except UserError:
        return tree / image_file


def _list_images(examples: Sequence[Example]) -> list[str]:
    """The examples' names in KITTI raw, such as date/drive/image_02/data/0000000005.png."""
    image_files = []
    for example in examples:
        name = Path(example.folder).name
        drive, camera = name[:-3], name[-2:]
        folder = f"{drive[:10]}/{drive}/image_{camera}/data"
        image_files.append(f"{folder}/{example.frame}.png")
    return image_files


def _find_translations(world_T_cam: np.ndarray, target: int) -> np.ndarray | None:
    """Target to source [N, 3] of a window's camera poses [N + 1, 4, 4], metres; None where the camera stands."""
    src_T_tgt = np.linalg.inv(world_T_cam) @ world_T_cam[target]
    translations_m = np.delete(src_T_tgt[:, :3, 3], target, axis=0)
    return translations_m if np.linalg.norm(translations_m) > 0.01 else None


def _load_truth(tree: Path, image_file: str) -> GroundTruth | None:
    """The annotated depth of a frame where there is one, else its lidar scan."""
    return load_ground_truth(tree, image_file, "improved") or load_ground_truth(tree, image_file, "eigen")


def _has_depth(tree: Path, image_file: str) -> bool:
    """Whether there is depth of a frame, be it damaged."""
    try:
        return _load_truth(tree, image_file) is not None
    except UserError:
        return True


def _describe(cameras: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean and standard deviation of each of the intrinsics of cameras [3, 3]."""
    values = np.array([(camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]) for camera in cameras])
    means = dict(zip(Intrinsics._fields, values.mean(axis=0).tolist()))
    return {**means, **{f"{name}_spread": spread for name, spread in zip(means, values.std(axis=0).tolist())}}


def _average(named_values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of the values of each name."""
    values: dict[str, list[float]] = {}
    for name, value in named_values:
        values.setdefault(name, []).append(value)
    return {name: float(np.mean(found)) for name, found in values.items()}


def _cut(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` of them, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
