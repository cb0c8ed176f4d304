"""The camera trajectory of a recording, chained from predictions for windows of frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kitti_eval.files import write_text
from kitti_eval.pose_files import TimedPoses, format_tum
from kitti_eval.snippets import chain_snippets
from kitti_eval.trajectory import predicted_vectors_to_poses
from sfmlearner_tf.errors import UserError

if TYPE_CHECKING:
    from sfmlearner_tf.prediction import PosePredictor


class MotionPredictor:
    """Predicts the motion in every window of seq_length images, which are added one by one.

    seq_length: that of the network.
    vectors: the pose vectors of the windows so far, each [seq_length, 6], target to each frame.
    """

    def __init__(self, network: PosePredictor, batch_size: int) -> None:
        self.seq_length = network.seq_length
        self.vectors: list[np.ndarray] = []
        self._network = network
        self._batch_size = batch_size
        self._images: list[np.ndarray] = []

    def add(self, image: np.ndarray) -> None:
        """Adds the next frame, uint8 [height, width, 3] of the network's size."""
        self._images.append(image)
        if len(self._images) == self.seq_length - 1 + self._batch_size:
            self.flush()

    def flush(self) -> None:
        """Predicts the windows of an incomplete batch."""
        length = self.seq_length
        windows = [self._images[first : first + length] for first in range(len(self._images) - length + 1)]
        if windows:
            self.vectors += list(self._network.predict_windows(windows))
            self._images = self._images[len(windows) :]


def check_length(count: int, seq_length: int, name: str) -> None:
    """Raises UserError where `name` has too few frames for the pose network."""
    if count < seq_length:
        raise UserError(
            f"--poses: expected at least {seq_length} frames, as the pose network sees, found {count} in {name}"
        )


def chain_vectors(vectors: list[np.ndarray], times_s: list[float], scale: float) -> TimedPoses:
    """The poses first_T_camera of all frames, from the vectors [n, 6] of every window of n frames.

    The motion from a frame to the next comes from the window with that frame in the middle. `scale` multiplies
    translations.
    """
    snippets = []
    for first, window in enumerate(vectors):
        poses = predicted_vectors_to_poses(window)
        poses[:, :3, 3] *= scale
        snippets.append(TimedPoses(poses, np.array(times_s[first : first + len(window)])))
    return chain_snippets(snippets)


def write_trajectory(path: Path, motions: MotionPredictor, times_s: list[float], scale: float) -> TimedPoses:
    """Writes the poses of all frames in TUM format, and returns them.

    Raises UserError for too few frames, or if it cannot be written.
    """
    motions.flush()
    if not motions.vectors:
        raise UserError(f"--poses: expected at least {motions.seq_length} readable frames, found fewer")
    trajectory = chain_vectors(motions.vectors, times_s, scale)
    write_text(path, format_tum(*trajectory))
    return trajectory
