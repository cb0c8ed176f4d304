import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.watchdogs import SIGNS, WINDOW, Watchdogs

HEALTHY = {
    "depth_spread": 0.5,
    "bottom_nearness": 0.8,
    "translation": 0.03,
    "rotation_rad": 0.01,
    "in_view": 0.95,
    "mask": 0.8,
    "identical_frames": 0.0,
    "gradient_norm": 5.0,
}


def watch(watchdogs, count, first_step=1000, **signs):
    """The alarms of so many equal looks, ten steps apart."""
    lines = []
    for i in range(count):
        lines += watchdogs.look(first_step + 10 * i, {**HEALTHY, **signs})
    return lines


@pytest.mark.parametrize(
    ("sign", "value", "seen"),
    [
        ("depth_spread", 0.001, "depth is constant over the image: log depth spreads by 0.001"),
        ("depth_spread", 3.0, "depth has only extremes"),
        ("bottom_nearness", -0.5, "depth is upside down"),
        ("translation", 1e-6, "the camera does not move"),
        ("translation", 7.0, "poses explode: translation is "),
        ("rotation_rad", 1.5, "poses explode: rotation is "),
        ("in_view", 0.1, "most pixels are warped to outside the source image: 10% fall inside"),
        ("mask", 0.001, "the explainability masks are 0 everywhere"),
        ("identical_frames", 1.0, "100% of the examples have target and sources that are the same picture"),
    ],
)
def test_each_watchdog_fires_once_and_again_after_recovery(sign, value, seen):
    watchdogs = Watchdogs()
    assert watch(watchdogs, 3 * WINDOW) == []
    (line,) = watch(watchdogs, 2 * WINDOW, first_step=2000, **{sign: value})
    assert line.startswith("step 20")
    assert seen in line
    assert "usual cause: " in line
    assert watch(watchdogs, 2 * WINDOW, first_step=3000) == []
    assert len(watch(watchdogs, 2 * WINDOW, first_step=4000, **{sign: value})) == 1


def test_one_odd_batch_raises_no_alarm():
    watchdogs = Watchdogs()
    assert watch(watchdogs, WINDOW) == []
    assert watch(watchdogs, 2, first_step=2000, in_view=0.1, depth_spread=0) == []


def test_initial_state_is_no_reason_for_alarm_but_identical_frames_are():
    looks = {"depth_spread": 0.001, "translation": 0.0}
    assert watch(Watchdogs(watch_after=500), WINDOW, first_step=10, **looks) == []
    assert len(watch(Watchdogs(watch_after=0), WINDOW, first_step=10, **looks)) == 2
    assert len(watch(Watchdogs(watch_after=500), WINDOW, first_step=10, identical_frames=1.0)) == 1


@pytest.mark.parametrize("norm", [5000.0, float("inf"), float("nan")])
def test_exploding_gradient(norm):
    watchdogs = Watchdogs()
    assert watch(watchdogs, WINDOW) == []
    (line,) = watch(watchdogs, 1, first_step=2000, gradient_norm=norm)
    assert "the gradient explodes" in line


def signs_of(config, target, sources):
    learner = SfMLearner(config)
    intrinsics = np.float32([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * len(target))
    losses, signs = learner.watched_step(target, sources, intrinsics)
    return learner, losses, {name: float(value) for name, value in signs.items()}


def random_images(channels, seed):
    return np.random.RandomState(seed).randint(0, 256, (2, 32, 64, channels)).astype(np.uint8)


def test_signs_of_a_step_equal_numpy():
    config = TrainConfig(img_height=32, img_width=64, explain_reg_weight=0.2)
    target, sources = random_images(3, 0), random_images(6, 1)
    sources[0] = np.tile(target[0], 2)  # the first example stands still
    out = SfMLearner(config).forward(target, sources, np.float32([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2))
    learner, _, signs = signs_of(config, target, sources)
    assert set(signs) == set(SIGNS)
    depth, poses = out["depth"][0].numpy(), out["poses"].numpy()
    np.testing.assert_allclose(signs["depth_spread"], np.log(depth).std(axis=(1, 2, 3)).mean(), rtol=1e-3)
    thirds = -np.log(depth).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(signs["bottom_nearness"], thirds[-10:].mean() - thirds[:10].mean(), atol=1e-4)
    translation = np.linalg.norm(poses[..., :3], axis=-1).mean() * (1 / depth).mean()
    np.testing.assert_allclose(signs["translation"], translation, rtol=1e-3)
    np.testing.assert_allclose(signs["rotation_rad"], np.linalg.norm(poses[..., 3:], axis=-1).mean(), rtol=1e-3)
    np.testing.assert_allclose(signs["mask"], out["masks"][0].numpy().mean(), rtol=1e-3)
    seen = np.stack([np.abs(image).max(-1) > 0 for image in np.split(out["projected"][0].numpy(), 2, axis=-1)])
    np.testing.assert_allclose(signs["in_view"], seen.mean(), atol=0.01)
    assert signs["identical_frames"] == 0.5
    # Adam's first moment is 0.1 times the first gradient.
    moments = [first.numpy() / 0.1 for first, _ in learner.optimizer.moments.values()]
    norm = np.sqrt(sum(np.sum(np.square(moment, dtype=float)) for moment in moments))
    np.testing.assert_allclose(signs["gradient_norm"], norm, rtol=1e-4)


def test_watching_changes_nothing():
    config = TrainConfig(img_height=32, img_width=64)
    target, sources = random_images(3, 0), random_images(6, 1)
    watched, losses, _ = signs_of(config, target, sources)
    plain = SfMLearner(dataclasses.replace(config))
    intrinsics = np.float32([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    for name, value in plain.train_step(target, sources, intrinsics).items():
        assert float(value) == float(losses[name])
    for name, weights in plain.weights.items():
        tf.debugging.assert_equal(weights, watched.weights[name])
