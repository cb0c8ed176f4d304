"""A checkpoint that one stack writes and the other reads: same weights, same outputs, same next step of training.

    .venv/bin/python tests/cross_stack.py write folder && .venv-keras3/bin/python tests/cross_stack.py read folder

`make test-cross-stack` does this both ways.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from sfmlearner_tf import SfMLearner, TrainConfig

HEIGHT, WIDTH = 64, 96
CONFIG = TrainConfig(batch_size=2, img_height=HEIGHT, img_width=WIDTH, explain_reg_weight=0.2)
# Between the stacks' convolutions, which differ in rounding; weights move by 2e-4 a step.
OUTPUT_TOLERANCE, WEIGHT_TOLERANCE = 1e-4, 1e-5


def make_batch() -> tuple[np.ndarray, ...]:
    random = np.random.RandomState(0)
    target = random.randint(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    sources = random.randint(0, 256, (2, HEIGHT, WIDTH, 6), np.uint8)
    return target, sources, np.float32([[[60, 0, 48], [0, 60, 32], [0, 0, 1]]] * 2)


def read_state(learner: SfMLearner) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in learner.state().items()}


def compute_outputs(learner: SfMLearner) -> dict[str, np.ndarray]:
    """What the networks make of the batch."""
    out = learner.forward(*make_batch())
    return {"depth": out["depth"][0].numpy(), "poses": out["poses"].numpy(), "masks": out["masks"][0].numpy()}


def take_step(learner: SfMLearner) -> dict[str, np.ndarray]:
    """The losses of one more step, which Adam's moments have a part in."""
    return {name: value.numpy() for name, value in learner.train_step(*make_batch()).items()}


def write(folder: Path) -> None:
    """Trains two steps, saves, and notes what the saved weights do."""
    learner = SfMLearner(CONFIG)
    for _ in range(2):
        learner.train_step(*make_batch())
    learner.save(str(folder))
    parts = {"state": read_state(learner), "output": compute_outputs(learner), "loss": take_step(learner)}
    parts["after"] = {name: variable.numpy() for name, variable in learner.release_variables().items()}
    np.savez(folder / "expected.npz", **{f"{part}:{key}": v for part, d in parts.items() for key, v in d.items()})


def read(folder: Path) -> None:
    """Restores, and raises AssertionError where anything is not as it was noted."""
    expected: dict[str, dict[str, np.ndarray]] = {}
    for name, value in np.load(folder / "expected.npz").items():
        part, _, key = name.partition(":")
        expected.setdefault(part, {})[key] = value
    learner = SfMLearner(CONFIG)
    assert learner.restore(str(folder / "model-2"))
    found = {"state": read_state(learner), "output": compute_outputs(learner), "loss": take_step(learner)}
    found["after"] = {name: variable.numpy() for name, variable in learner.release_variables().items()}
    for part, values in found.items():
        assert set(values) == set(expected[part])
    for name, value in found["state"].items():
        np.testing.assert_array_equal(value, expected["state"][name], err_msg=name)
    for part in ("output", "loss"):
        for name, value in found[part].items():
            np.testing.assert_allclose(
                value, expected[part][name], rtol=OUTPUT_TOLERANCE, atol=OUTPUT_TOLERANCE, err_msg=name
            )
    for name, value in found["after"].items():
        # Of a few values the gradient is rounding alone, and Adam's step is as large for those.
        apart = np.abs(value - expected["after"][name]) > WEIGHT_TOLERANCE
        assert apart.mean() < 0.01, f"{name}: {apart.mean():.1%} of the values differ after the next step"


def main() -> None:
    mode, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    {"write": write, "read": read}[mode](folder)
    print(f"{mode}: {folder}, TensorFlow {tf.__version__}, Keras {keras.__version__}: as expected")


if __name__ == "__main__":
    main()
