"""The numbers recorded from the 2017 release, and the weights that they were recorded with."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sfmlearner_tf import SfMLearner, TrainConfig

FOLDER = Path(__file__).parent / "golden"


def golden_weights(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The recorded runs' weights are not stored: each follows from its name."""
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    if name.endswith("biases"):
        return random.uniform(-0.05, 0.05, shape).astype(np.float32)
    height, width, channels_in, channels_out = shape
    limit = np.sqrt(6 / (height * width * (channels_in + channels_out)))
    return random.uniform(-limit, limit, shape).astype(np.float32)


def golden_learner(golden: Mapping[str, np.ndarray], explain_reg_weight: float, **options: object) -> SfMLearner:
    """A learner for the recorded batch, with the recorded weights."""
    batch_size, height, width, _ = golden["tgt"].shape
    learner = SfMLearner(
        TrainConfig(
            batch_size=batch_size,
            img_height=height,
            img_width=width,
            seq_length=golden["src"].shape[-1] // 3 + 1,
            explain_reg_weight=explain_reg_weight,
            **options,
        )
    )
    for name, variable in learner.release_variables().items():
        variable.assign(golden_weights(name, tuple(variable.shape), int(golden["seed"])))
    return learner
