"""The camera trajectory of a recording, chained from predictions for windows of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from kitti_eval.pose_files import TimedPoses
from kitti_eval.snippets import chain_snippets
from kitti_eval.trajectory import predicted_vectors_to_poses

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

    def add(self, image: Image.Image) -> None:
        """Adds the next frame, of any size."""
        size = self._network.width, self._network.height
        # Parity: for motion the release resizes bilinearly, for depth with Lanczos.
        self._images.append(np.asarray(image.resize(size, Image.Resampling.BILINEAR)))
        if len(self._images) == self.seq_length - 1 + self._batch_size:
            self.flush()

    def flush(self) -> None:
        """Predicts the windows of an incomplete batch."""
        length = self.seq_length
        windows = [self._images[first : first + length] for first in range(len(self._images) - length + 1)]
        if windows:
            self.vectors += list(self._network.predict_windows(windows))
            self._images = self._images[len(windows) :]


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
