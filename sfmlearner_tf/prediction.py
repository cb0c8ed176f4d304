"""Depth and motion of many images from a checkpoint, as the release predicts them for its evaluation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from sfmlearner_tf import checkpoint
from sfmlearner_tf.command import UserError
from sfmlearner_tf.data.frames import DECODE_ERRORS
from sfmlearner_tf.disp_net import DispNet
from sfmlearner_tf.layers import MIN_IMAGE_SIDE
from sfmlearner_tf.learner import preprocess
from sfmlearner_tf.pose_exp_net import PoseExpNet

# Images decoded ahead of the network.
_AHEAD = 32


def load_depth_network(ckpt_file: str, height: int, width: int) -> Callable[[np.ndarray], tf.Tensor]:
    """The function from images uint8 [B, height, width, 3] to depth [B, height, width], camera z, arbitrary scale.

    Reads the depth network alone, so any checkpoint does that has one. Raises UserError where it has none.
    """
    network = DispNet()
    network(tf.zeros([1, MIN_IMAGE_SIDE, MIN_IMAGE_SIDE, 3]))
    checkpoint.restore(ckpt_file, network.release_variables())

    @tf.function(input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8)])
    def predict(images: tf.Tensor) -> tf.Tensor:
        return 1 / network(preprocess(images))[0][..., 0]

    return predict


def load_pose_network(ckpt_file: str, seq_length: int, height: int, width: int) -> Callable[..., tf.Tensor]:
    """The function from a target uint8 [B, height, width, 3] and its sources [B, height, width, 3 * (seq_length - 1)]
    to poses [B, seq_length - 1, 6], target to source.

    Reads the pose network without masks. Raises UserError where the checkpoint has none or one of another seq_length.
    """
    num_sources = seq_length - 1
    network = PoseExpNet(num_sources)
    network(*(tf.zeros([1, MIN_IMAGE_SIDE, MIN_IMAGE_SIDE, 3 * count]) for count in (1, num_sources)))
    checkpoint.restore(ckpt_file, network.release_variables())

    @tf.function(
        input_signature=[tf.TensorSpec([None, height, width, 3 * count], tf.uint8) for count in (1, num_sources)]
    )
    def predict(target: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        return network(preprocess(target), preprocess(sources))[0]

    return predict


def predict_depths(
    ckpt_file: str, paths: Sequence[Path], height: int, width: int, batch_size: int
) -> Iterator[np.ndarray]:
    """The depth [height, width] float32 of each image, resized with Lanczos as the release does for its depth test.

    Raises UserError for an image that cannot be read and for an unfit checkpoint.
    """
    network = load_depth_network(ckpt_file, height, width)
    for batch in _batched(_load_images(paths, height, width, Image.Resampling.LANCZOS), batch_size):
        yield from network(np.stack(batch)).numpy()


def predict_motions(
    ckpt_file: str, paths: Sequence[Path], seq_length: int, height: int, width: int, batch_size: int
) -> Iterator[np.ndarray]:
    """The pose vectors [seq_length, 6] of every run of `seq_length` images, target (0) to each frame.

    The target is the frame in the middle. Images are resized bilinearly, and each is read once.
    Raises UserError for an image that cannot be read and for an unfit checkpoint.
    """
    network = load_pose_network(ckpt_file, seq_length, height, width)
    middle = seq_length // 2
    images = _load_images(paths, height, width, Image.Resampling.BILINEAR)
    for batch in _batched(_slide(images, seq_length), batch_size):
        targets = np.stack([window[middle] for window in batch])
        sources = np.stack([np.concatenate(window[:middle] + window[middle + 1 :], axis=-1) for window in batch])
        yield from np.insert(network(targets, sources).numpy(), middle, 0, axis=1)


def write_stack(path: Path, arrays: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Writes float32 arrays of one shape into one .npy file of `shape`, which appears when it is whole.

    Raises UserError where it cannot be written.
    """
    aside = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for array in arrays:
                file.write(np.asarray(array, "<f4").tobytes())
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write the predictions; {error.strerror}") from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _load_images(paths: Iterable[Path], height: int, width: int, resampling: Image.Resampling) -> Iterator[np.ndarray]:
    """The images uint8 [height, width, 3] in order, decoded ahead by threads."""

    def load(path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB").resize((width, height), resampling))
        except DECODE_ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path}: expected an image; {reason}") from error

    waiting: deque = deque()
    with ThreadPoolExecutor() as pool:
        for path in paths:
            waiting.append(pool.submit(load, path))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _slide(images: Iterable[np.ndarray], length: int) -> Iterator[list[np.ndarray]]:
    """Every run of `length` images."""
    window: deque = deque(maxlen=length)
    for image in images:
        window.append(image)
        if len(window) == length:
            yield list(window)


def _batched(items: Iterable, size: int) -> Iterator[list]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
