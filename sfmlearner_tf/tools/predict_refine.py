"""Depth from networks that first learn from the very frames that they are asked about (online refinement, Casser et
al., AAAI 2019, "Depth Prediction Without the Sensors")."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import Camera, find_intrinsics
from sfmlearner_tf.tools.predict_input import Picture

LEARNING_RATE = 1e-4
# Of one frame at a time, which brings no speeds.
_REFINING: dict[str, Any] = {
    "batch_size": 1,
    "learning_rate": LEARNING_RATE,
    "lr_decay_after": 1.0,
    "speed_weight": 0.0,
}


def find_options(ckpt_file: str, height: int, width: int) -> TrainConfig:
    """The options of a checkpoint's run, with which it is refined; those of the 2017 release where there are none.

    Raises:
        UserError: the run needs masks of objects, which frames alone do not have.
    """
    from sfmlearner_tf.networks.building import read_options

    config = read_options(ckpt_file)
    if config.needs_objects:
        raise UserError(f"--refine_steps: expected a run that needs no masks of objects, found one in {ckpt_file}")
    return dataclasses.replace(config, **_REFINING, img_height=height, img_width=width)


class Refiner:
    """For each frame, takes steps of training on it and its neighbours, predicts, and forgets them again.

    Args:
        ckpt_file: with both networks.
        config: see `find_options`.
        steps: of Adam, for each frame.
        camera: the intrinsics of an image of a width and height; not needed by a run that learns them.

    Raises:
        UserError: the checkpoint lacks a network, or is of another size.
    """

    def __init__(self, ckpt_file: str, config: TrainConfig, steps: int, camera: Camera | None) -> None:
        from sfmlearner_tf.learner import SfMLearner

        self.seq_length, self._target = config.seq_length, config.target_index
        self._steps, self._camera = steps, camera
        self._learner = SfMLearner(config)
        self._learner.restore_weights(ckpt_file)
        self._before = {name: variable.numpy() for name, variable in self._learner.state().items()}

    def predict_depths(self, pictures: Iterable[Picture]) -> Iterator[tuple[Picture, np.ndarray]]:
        """Each picture of a recording, in order, with its depth [h, w]. There are at least seq_length.

        A frame is refined as the target, usually in the middle of its neighbours; the first and the last ones as part
        of the first and the last window.
        """
        window: deque[Picture] = deque(maxlen=self.seq_length)
        for count, picture in enumerate(pictures, start=1):
            window.append(picture)
            if count >= self.seq_length:
                frames = list(window)
                first = 0 if count == self.seq_length else self._target
                yield from self._refine(frames, frames[first : self._target + 1])
        if behind := list(window)[self._target + 1 :]:
            yield from self._refine(list(window), behind)

    def _refine(self, window: Sequence[Picture], wanted: Sequence[Picture]) -> Iterator[tuple[Picture, np.ndarray]]:
        for name, variable in self._learner.state().items():
            variable.assign(self._before[name])
        frames = [picture.resized["depth"] for picture in window]
        target = frames.pop(self._target)
        camera = self._find_camera(window[self._target])
        batch = target[np.newaxis], np.concatenate(frames, axis=-1)[np.newaxis], camera[np.newaxis]
        for _ in range(self._steps):
            self._learner.train_step(*batch)
        images = np.stack([picture.resized["depth"] for picture in wanted])
        yield from zip(wanted, self._learner.predict_depth(images).numpy()[..., 0])

    def _find_camera(self, picture: Picture) -> np.ndarray:
        """The intrinsics [3, 3] at the network's size; the identity where they are learned."""
        matrix = np.eye(3, dtype=np.float32)
        if self._camera:
            scaled = find_intrinsics(self._camera, picture.image.size, picture.resized["depth"].shape)
            matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = scaled
        return matrix
