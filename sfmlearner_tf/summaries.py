"""TensorBoard: the scalars, images and histograms of the 2017 release, under its tags."""

from __future__ import annotations

import tensorflow as tf

from sfmlearner_tf.learner import SfMLearner, preprocess
from sfmlearner_tf.losses import resize_area

_SCALARS = {
    "total": "total_loss",
    "pixel": "pixel_loss",
    "smooth": "smooth_loss",
    "explain": "exp_loss",
    "anchor": "anchor_loss",
}
_POSE_ENTRIES = ("tx", "ty", "tz", "rx", "ry", "rz")


class Summaries:
    """Writes what one batch shows.

    Args:
        folder: where the event files go.
        learner: the one whose work is shown.
    """

    def __init__(self, folder: str, learner: SfMLearner) -> None:
        self.writer = tf.summary.create_file_writer(folder)
        self.learner = learner
        self._compute = tf.function(learner.compute)

    def write(self, step: int, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor) -> None:
        """Writes the summaries of a batch, as the networks see it before they learn from it."""
        disparities, poses, objective = self._compute(target, sources, intrinsics)
        with self.writer.as_default(step=step):
            for name, value in objective.losses().items():
                tf.summary.scalar(_SCALARS[name], value)
            for entry, tag in enumerate(_POSE_ENTRIES):
                tf.summary.histogram(tag, poses[:, :, entry])
            for scale, disparity in enumerate(disparities):
                tf.summary.histogram(f"scale{scale}_depth", 1 / disparity)
                tf.summary.image(f"scale{scale}_disparity_image", disparity / tf.reduce_max(disparity))
                height, width = disparity.shape[1:3]
                scaled_target = resize_area(preprocess(target), height, width)
                tf.summary.image(f"scale{scale}_target_image", _to_unit_range(scaled_target))
                scaled_sources = resize_area(preprocess(sources), height, width)
                for i in range(poses.shape[1]):
                    channels = slice(3 * i, 3 * i + 3)
                    projected = objective.projected[scale][..., channels]
                    error = tf.abs(projected - scaled_target)
                    tf.summary.image(f"scale{scale}_source_image_{i}", _to_unit_range(scaled_sources[..., channels]))
                    tf.summary.image(f"scale{scale}_projected_image_{i}", _to_unit_range(projected))
                    tf.summary.image(f"scale{scale}_proj_error_{i}", error / 2)
                    if objective.masks:
                        tf.summary.image(f"scale{scale}_exp_mask_{i}", objective.masks[scale][..., i : i + 1])
        self.writer.flush()

    def write_validation(self, step: int, metrics: dict[str, float]) -> None:
        """Writes what validation measured, under tags of its own."""
        with self.writer.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.scalar(f"validation/{name}", value)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def _to_unit_range(images: tf.Tensor) -> tf.Tensor:
    return (images + 1) / 2
