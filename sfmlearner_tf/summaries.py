"""TensorBoard: the scalars, images and histograms of the 2017 release, under its tags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.errors import UserError, first_line
from sfmlearner_tf.images import preprocess, resize_area
from sfmlearner_tf.learner import SfMLearner

# Parity: the release's tag for the masks; every other loss has its own name (test_trainer.py).
_RELEASE_TAGS = {"explain": "exp_loss"}
_POSE_ENTRIES = ("tx", "ty", "tz", "rx", "ry", "rz")


class Summaries:
    """Writes what one batch shows.

    Args:
        folder: where the event files go.
        learner: the one whose work is shown.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, folder: str, learner: SfMLearner) -> None:
        self.folder = folder
        with _name_errors(folder):
            self.writer = tf.summary.create_file_writer(folder)
        self.learner = learner
        # In a graph: outside of one, TensorFlow loses some memory with every image and histogram.
        self._record = tf.function(self._record_batch, autograph=False)

    def write(self, step: int, batch: Batch) -> None:
        """Writes the summaries of a batch, as the networks see it before they learn from it.

        Raises UserError where the folder cannot be written to.
        """
        with _name_errors(self.folder):
            self._record(tf.constant(np.int64(step)), batch)
            self.writer.flush()

    def _record_batch(self, step: tf.Tensor, batch: Batch) -> None:
        out = self.learner.forward(batch)
        with self.writer.as_default(step=step):
            for name, value in out["losses"].items():
                tf.summary.scalar(_RELEASE_TAGS.get(name, f"{name}_loss"), value)
            for entry, tag in enumerate(_POSE_ENTRIES):
                tf.summary.histogram(tag, out["poses"][:, :, entry])
            for scale, depth in enumerate(out["depth"]):
                _write_depth(scale, depth)
                masks = out["masks"][scale] if out["masks"] else None
                _write_images(scale, batch, out["projected"][scale], masks)

    def write_validation(self, step: int, metrics: dict[str, float]) -> None:
        """Writes what validation measured, under tags of its own. Raises UserError as `write` does."""
        with _name_errors(self.folder), self.writer.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.scalar(f"validation/{name}", value)
            self.writer.flush()

    def close(self) -> None:
        """Writes what is not written yet. Raises UserError as `write` does."""
        with _name_errors(self.folder):
            self.writer.close()


@contextlib.contextmanager
def _name_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        # A full disk and too little memory are one error to TensorFlow; that of the disk names the file.
        if isinstance(error, tf.errors.ResourceExhaustedError) and folder not in str(error):
            raise
        raise UserError(f"cannot write summaries: {first_line(error)}") from None


def _write_depth(scale: int, depth: tf.Tensor) -> None:
    tf.summary.histogram(f"scale{scale}_depth", depth)
    # Parity: each image is as bright as it can be (test_trainer.py).
    nearness = tf.reduce_min(depth, axis=[1, 2, 3], keepdims=True) / depth
    tf.summary.image(f"scale{scale}_disparity_image", nearness)


def _write_images(scale: int, batch: Batch, projected: tf.Tensor, masks: tf.Tensor | None) -> None:
    height, width = projected.shape[1:3]
    target = resize_area(preprocess(batch.target), height, width)
    tf.summary.image(f"scale{scale}_target_image", _to_unit_range(target))
    sources = resize_area(preprocess(batch.sources), height, width)
    for i in range(sources.shape[3] // 3):
        channels = slice(3 * i, 3 * i + 3)
        warped = projected[..., channels]
        tf.summary.image(f"scale{scale}_source_image_{i}", _to_unit_range(sources[..., channels]))
        tf.summary.image(f"scale{scale}_projected_image_{i}", _to_unit_range(warped))
        tf.summary.image(f"scale{scale}_proj_error_{i}", tf.abs(warped - target) / 2)
        if masks is not None:
            tf.summary.image(f"scale{scale}_exp_mask_{i}", masks[..., i : i + 1])


def _to_unit_range(images: tf.Tensor) -> tf.Tensor:
    return (images + 1) / 2
