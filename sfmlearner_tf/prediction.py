"""Depth and motion of many images from a checkpoint or a SavedModel, as the release predicts for its evaluation."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import tensorflow as tf
from PIL import Image

from kitti_eval.files import write_aside
from kitti_eval.workers import map_ahead
from sfmlearner_tf.checksums import check_checksums
from sfmlearner_tf.data.batches import stack_windows
from sfmlearner_tf.data.frames import open_image
from sfmlearner_tf.errors import UserError, first_line
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.networks.building import load_network, load_pose_network
from sfmlearner_tf.networks.pose_network import TARGET_IS_LAST

# Images decoded ahead of the network, at its size.
_AHEAD = 32
# Parity: the release resizes the images of its depth test with Lanczos, those for motion bilinearly.
_RESAMPLING = {"depth": Image.Resampling.LANCZOS, "pose": Image.Resampling.BILINEAR}

_Item = TypeVar("_Item")


class _Sized(Protocol):
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


class DepthPredictor(NamedTuple):
    """predict: images uint8 [B, height, width, 3] -> depth [B, height, width], camera z, arbitrary scale."""

    predict: Callable[[np.ndarray], tf.Tensor]
    height: int
    width: int


class PosePredictor(NamedTuple):
    """predict: a target uint8 [B, height, width, 3] and sources [B, height, width, 3 * (seq_length - 1)] -> poses
    [B, seq_length - 1, 6], target to source."""

    predict: Callable[[np.ndarray, np.ndarray], tf.Tensor]
    height: int
    width: int
    seq_length: int
    target_index: int

    def predict_windows(self, windows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """The pose vectors [B, seq_length, 6] of windows of seq_length images each, target (0) to each frame.

        The target is the frame at `target_index`: the middle one, unless the network learned otherwise.
        """
        poses = self.predict(*stack_windows(windows, self.target_index)).numpy()
        return np.insert(poses, self.target_index, 0, axis=1)


def load_depth_predictor(ckpt_file: str, height: int, width: int) -> DepthPredictor:
    """The depth network of a checkpoint, for images of a size.

    Reads the depth network alone, so any checkpoint does that has one. Raises UserError where it has none; the
    predictor does where memory does not suffice.
    """
    network = load_network(ckpt_file, "depth")

    @_tell_lack_of_memory()
    @tf.function(input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8)], autograph=False)
    def predict(images: tf.Tensor) -> tf.Tensor:
        return 1 / network(preprocess(images))[0][..., 0]

    return DepthPredictor(predict, height, width)


def load_edge_predictor(ckpt_file: str, height: int, width: int) -> Callable[[np.ndarray], tf.Tensor]:
    """What gives the edges [B, height, width], 0 to 1, of images uint8 [B, height, width, 3].

    Raises UserError where the checkpoint's depth network did not learn them.
    """
    network = load_network(ckpt_file, "depth", edges=True)

    @_tell_lack_of_memory()
    @tf.function(input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8)], autograph=False)
    def predict(images: tf.Tensor) -> tf.Tensor:
        maps = network(preprocess(images))
        return maps[len(maps) // 2][..., 0]

    return predict


def load_pose_predictor(ckpt_file: str, height: int, width: int, seq_length: int | None = None) -> PosePredictor:
    """The pose network of a checkpoint, without masks, for images of a size.

    Args:
        seq_length: frames that it is expected to see; None takes what is there.

    Raises:
        UserError: the checkpoint has no pose network, or one of another seq_length.
    """
    network = load_pose_network(ckpt_file, seq_length)
    channels = 3, 3 * network.num_sources

    specs = [tf.TensorSpec([None, height, width, count], tf.uint8) for count in channels]

    @_tell_lack_of_memory()
    @tf.function(input_signature=specs, autograph=False)
    def predict(target: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        return network(preprocess(target), preprocess(sources)).poses

    return PosePredictor(predict, height, width, network.num_sources + 1, network.target_index)


class SavedModel:
    """The networks of a SavedModel that `sfmlearner_tf.export` wrote.

    Raises:
        UserError: there is none, or a damaged one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if not os.path.isfile(os.path.join(path, "saved_model.pb")):
            raise UserError(f"{path}: expected the folder of a SavedModel, found no saved_model.pb in it")
        # TensorFlow itself notices little damage.
        check_checksums(path, "saved_model.pb", "variables/")
        try:
            self._model = tf.saved_model.load(path)
            self._outputs = {name: found.structured_outputs for name, found in self._model.signatures.items()}
        # Anything at all, depending on where a file is damaged.
        except Exception as error:
            raise UserError(f"{path}: expected a SavedModel; {first_line(error)}") from None

    def depth(self) -> DepthPredictor:
        """The depth network, at the size that the model resizes to. Raises UserError where it has none."""
        height, width, _ = self._find("depth", "depth", "[B, height, width, 1]")

        def predict(images: np.ndarray) -> tf.Tensor:
            return self._run("depth", "depth", images=images)[..., 0]

        return DepthPredictor(predict, height, width)

    def pose(self, height: int, width: int) -> PosePredictor:
        """The pose network, for images of the size of the depth network; of another one where there is none.

        Raises UserError where it has no pose network.
        """
        num_sources, _ = self._find("pose", "poses", "[B, seq_length - 1, 6]")
        if "depth" in self._outputs:
            _, height, width = self.depth()

        def predict(target: np.ndarray, sources: np.ndarray) -> tf.Tensor:
            return self._run("pose", "poses", target=target, sources=sources)

        target_index = num_sources if TARGET_IS_LAST in self._outputs["pose"] else num_sources // 2
        return PosePredictor(predict, height, width, num_sources + 1, target_index)

    def _find(self, name: str, output: str, expected: str) -> list[int]:
        """The shape of a signature's output, without the batch."""
        if name not in self._outputs:
            found = ", ".join(self._outputs) or "none"
            raise UserError(f"{self.path}: expected the signature {name!r}, found {found}")
        if output not in self._outputs[name]:
            found = ", ".join(self._outputs[name])
            raise UserError(f"{self.path}: expected the signature {name!r} with the output {output!r}, found {found}")
        shape = self._outputs[name][output].shape
        if shape.rank != expected.count(",") + 1 or not all(shape[1:]):
            raise UserError(f"{self.path}: expected the output {output!r} of the shape {expected}, found {shape}")
        return list(shape[1:])

    def _run(self, name: str, output: str, **images: np.ndarray) -> tf.Tensor:
        try:
            return self._model.signatures[name](**{key: tf.constant(image) for key, image in images.items()})[output]
        except (tf.errors.OpError, TypeError) as error:
            raise UserError(f"{self.path}: its signature {name!r} fails; {first_line(error)}") from None


def predict_depths(predictor: DepthPredictor, paths: Sequence[Path], batch_size: int) -> Iterator[np.ndarray]:
    """The depth [height, width] float32 of each image, resized with Lanczos as the release does for its depth test.

    Raises UserError for an image that cannot be read.
    """
    images = _load_images(paths, "depth", predictor)
    for batch in batched(images, batch_size):
        yield from predictor.predict(np.stack(batch)).numpy()


def predict_motions(predictor: PosePredictor, paths: Sequence[Path], batch_size: int) -> Iterator[np.ndarray]:
    """The pose vectors [seq_length, 6] of every run of the predictor's seq_length images, target (0) to each frame.

    Images are resized bilinearly, and each is read once.
    Raises UserError for an image that cannot be read.
    """
    images = _load_images(paths, "pose", predictor)
    for batch in batched(_slide(images, predictor.seq_length), batch_size):
        yield from predictor.predict_windows(batch)


def write_stack(path: Path, arrays: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Writes float32 arrays of one shape into one .npy file of `shape`, which appears when it is whole.

    Raises UserError where it cannot be written.
    """
    try:
        with write_aside(path) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for array in arrays:
                file.write(np.asarray(array, "<f4").tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot write the predictions; {error.strerror}") from error


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of `size` items in order; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def _tell_lack_of_memory() -> Iterator[None]:
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise UserError("out of memory: a smaller batch_size or image size needs less") from None


def make_resizers(**networks: _Sized | None) -> dict[str, Callable[[Image.Image], np.ndarray]]:
    """What makes of an RGB image of any size the pixels uint8 [height, width, 3] that a network gets.

    Args:
        networks: what knows their size, by what they predict, "depth" or "pose"; None is left out.
    """
    return {
        name: partial(_resize, (network.width, network.height), _RESAMPLING[name])
        for name, network in networks.items()
        if network
    }


def _resize(size: tuple[int, int], resampling: Image.Resampling, image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize(size, resampling))


def _load_images(paths: Iterable[Path], name: str, predictor: DepthPredictor | PosePredictor) -> Iterator[np.ndarray]:
    """The images uint8 [height, width, 3] in order."""
    resize = make_resizers(**{name: predictor})[name]
    return map_ahead(lambda path: resize(open_image(path)), paths, _AHEAD)


def _slide(images: Iterable[np.ndarray], length: int) -> Iterator[list[np.ndarray]]:
    """Every run of `length` images."""
    window: deque = deque(maxlen=length)
    for image in images:
        window.append(image)
        if len(window) == length:
            yield list(window)
