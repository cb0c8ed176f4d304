import dataclasses
import math
import re

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.watchdogs import READINGS, WATCH_NAMES, WATCHES, WINDOW, Watchdogs

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
# For each watch a reading that raises its alarm, and how the alarm begins.
FAILURES = {
    "constant_depth": ("depth_spread", 0.001, "depth is constant over the image: the standard deviation of log depth"),
    "extreme_depth": ("depth_spread", 3.0, "depth takes only its smallest and largest values: the standard deviation"),
    "upside_down": ("bottom_nearness", -0.5, "depth is upside down: the bottom of the image is farther than the top"),
    "no_motion": ("translation", 1e-6, "the camera does not move: translation is 1e-06 of the depth"),
    "exploding_translation": ("translation", 7.0, "poses explode: translation is "),
    "exploding_rotation": ("rotation_rad", 1.5, "poses explode: rotation is "),
    "out_of_view": ("in_view", 0.1, "most pixels are projected outside the source image: 10% fall inside"),
    "empty_masks": ("mask", 0.001, "the explainability masks are 0 everywhere: their mean is 0.001"),
    "identical_frames": ("identical_frames", 1.0, "in 100% of the examples the target and its sources are the same"),
    "exploding_gradient": ("gradient_norm", 5000.0, "the gradient explodes: its norm is "),
}


def watch_series(watchdogs, first_step=1000, **series):
    """The alarms of looks ten steps apart: all healthy but for a series of readings each."""
    lines = []
    for i, values in enumerate(zip(*series.values())):
        lines += watchdogs.look(first_step + 10 * i, {**HEALTHY, **dict(zip(series, values))})
    return lines


def watch(watchdogs, count, first_step=1000, **readings):
    """The alarms of so many equal looks, ten steps apart."""
    series = {name: [value] * count for name, value in {**HEALTHY, **readings}.items()}
    return watch_series(watchdogs, first_step, **series)


def name_of(line):
    return re.search(r" \((\w+)\)$", line).group(1)


def test_every_watch_has_a_failure_here():
    assert tuple(FAILURES) == WATCH_NAMES


@pytest.mark.parametrize("name", WATCH_NAMES)
def test_alarm_is_raised_once_and_again_after_recovery(name):
    reading, value, seen = FAILURES[name]
    watchdogs = Watchdogs()
    assert watch(watchdogs, 3 * WINDOW) == []
    (line,) = watch(watchdogs, 2 * WINDOW, first_step=2000, **{reading: value})
    assert re.fullmatch(rf"step 20\d\d: {re.escape(seen)}.*; usual cause: .* \({name}\)", line)
    assert watch(watchdogs, 2 * WINDOW, first_step=3000) == []
    (line,) = watch(watchdogs, 2 * WINDOW, first_step=4000, **{reading: value})
    assert name_of(line) == name


@pytest.mark.parametrize("watched", WATCHES, ids=WATCH_NAMES)
def test_median_that_hovers_at_the_limit_raises_one_alarm(watched):
    watchdogs = Watchdogs()
    assert watch(watchdogs, 3 * WINDOW) == []
    limit = watched.limit * (HEALTHY[watched.reading] if watched.relative else 1)
    values = limit * np.random.RandomState(0).uniform(0.7, 1.3, 800)
    (line,) = watch_series(watchdogs, first_step=2000, **{watched.reading: values})
    assert name_of(line) == watched.name


@pytest.mark.parametrize("watched", WATCHES, ids=WATCH_NAMES)
def test_alarm_is_repeated_only_after_the_clear_limit_was_passed(watched):
    usual = HEALTHY[watched.reading] if watched.relative else 1
    reading, value, _ = FAILURES[watched.name]
    towards_limit = (watched.limit - watched.clear) / 10
    for clear, repeats in ((watched.clear + towards_limit, 0), (watched.clear - towards_limit, 1)):
        watchdogs = Watchdogs()
        watch(watchdogs, 6 * WINDOW)
        assert len(watch(watchdogs, WINDOW, first_step=2000, **{reading: value})) == 1
        assert watch(watchdogs, WINDOW, first_step=3000, **{reading: usual * clear}) == []
        assert len(watch(watchdogs, WINDOW, first_step=4000, **{reading: value})) == repeats


@pytest.mark.parametrize("off", WATCH_NAMES)
def test_watch_that_is_off_leaves_the_others_on(off):
    spoken = []
    for reading, value, _ in FAILURES.values():
        watchdogs = Watchdogs(off=(off,))
        watch(watchdogs, 2 * WINDOW)
        spoken += map(name_of, watch(watchdogs, WINDOW, first_step=2000, **{reading: value}))
    assert spoken == [name for name in WATCH_NAMES if name != off]


def test_unknown_watch_is_refused():
    with pytest.raises(ValueError, match="no_depth, upsidedown") as error:
        Watchdogs(off=iter(["upsidedown", "no_motion", "no_depth"]))
    assert ", ".join(WATCH_NAMES) in str(error.value)


def test_one_odd_batch_raises_no_alarm():
    watchdogs = Watchdogs()
    assert watch(watchdogs, WINDOW) == []
    assert watch(watchdogs, 2, first_step=2000, in_view=0.1, depth_spread=0) == []


def test_initial_state_is_no_reason_for_alarm_but_identical_frames_are():
    looks = {"depth_spread": 0.001, "translation": 0.0}
    assert watch(Watchdogs(watch_after=500), WINDOW, first_step=10, **looks) == []
    assert len(watch(Watchdogs(watch_after=0), WINDOW, first_step=10, **looks)) == 2
    assert len(watch(Watchdogs(watch_after=500), WINDOW, first_step=10, identical_frames=1.0)) == 1


@pytest.mark.parametrize("norm", [5000.0, math.inf, math.nan])
def test_odd_gradients_raise_no_alarm_but_lasting_ones_do(norm):
    watchdogs = Watchdogs()
    assert watch(watchdogs, 3 * WINDOW) == []
    one_in_twelve = [norm if i % 12 == 0 else 5.0 for i in range(600)]
    assert watch_series(watchdogs, first_step=2000, gradient_norm=one_in_twelve) == []
    (line,) = watch(watchdogs, 100, first_step=9000, gradient_norm=norm)
    assert re.match(r"step 90[345]0: the gradient explodes: its norm is (500|inf) times the usual; ", line)


def test_gradient_is_compared_with_as_many_looks_as_it_is_judged_by():
    watchdogs = Watchdogs()
    norms = [0.01] * (WINDOW - 1) + [5.0] * WINDOW
    assert watch_series(watchdogs, first_step=10, gradient_norm=norms) == []
    (line,) = watch(watchdogs, 1, first_step=200)
    assert name_of(line) == "exploding_gradient"


def test_gradient_that_was_never_finite():
    (line,) = watch(Watchdogs(), 2 * WINDOW, gradient_norm=math.inf)
    assert name_of(line) == "exploding_gradient"


def test_usual_gradient_is_that_of_the_latest_few_hundred_looks():
    norms = 1.005 ** np.arange(2500)  # in the end 520 times the median of all
    assert watch_series(Watchdogs(), gradient_norm=norms) == []


def test_reading_that_is_not_a_number_counts_as_infinite():
    alarms = watch(Watchdogs(), WINDOW, translation=math.nan, rotation_rad=math.nan)
    assert [name_of(line) for line in alarms] == ["exploding_translation", "exploding_rotation"]


def readings_of(config, target, sources):
    learner = SfMLearner(config)
    intrinsics = np.float32([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * len(target))
    losses, readings = learner.watched_step(target, sources, intrinsics)
    return learner, losses, {name: float(value) for name, value in readings.items()}


def random_images(channels, seed):
    return np.random.RandomState(seed).randint(0, 256, (2, 32, 64, channels)).astype(np.uint8)


def test_readings_equal_numpy():
    config = TrainConfig(img_height=32, img_width=64, num_scales=1, explain_reg_weight=0.2)
    target, sources = random_images(3, 0), random_images(6, 1)
    sources[0] = np.tile(target[0], 2)  # the first example stands still
    out = SfMLearner(config).forward(target, sources, np.float32([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2))
    learner, _, readings = readings_of(config, target, sources)
    assert set(readings) == set(READINGS)
    depth, poses = out["depth"][0].numpy(), out["poses"].numpy()
    np.testing.assert_allclose(readings["depth_spread"], np.log(depth).std(axis=(1, 2, 3)).mean(), rtol=1e-3)
    thirds = -np.log(depth).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(readings["bottom_nearness"], thirds[-10:].mean() - thirds[:10].mean(), atol=1e-4)
    translation = np.linalg.norm(poses[..., :3], axis=-1).mean() * (1 / depth).mean()
    np.testing.assert_allclose(readings["translation"], translation, rtol=1e-3)
    np.testing.assert_allclose(readings["rotation_rad"], np.linalg.norm(poses[..., 3:], axis=-1).mean(), rtol=1e-3)
    np.testing.assert_allclose(readings["mask"], out["masks"][0].numpy().mean(), rtol=1e-3)
    seen = np.stack([np.abs(image).max(-1) > 0 for image in np.split(out["projected"][0].numpy(), 2, axis=-1)])
    np.testing.assert_allclose(readings["in_view"], seen.mean(), atol=0.01)
    assert readings["identical_frames"] == 0.5
    # Adam's first moment is 0.1 times the first gradient.
    moments = [first.numpy() / 0.1 for first, _ in learner.optimizer.moments.values()]
    norm = np.sqrt(sum(np.sum(np.square(moment, dtype=float)) for moment in moments))
    np.testing.assert_allclose(readings["gradient_norm"], norm, rtol=1e-4)


def test_watching_changes_nothing():
    config = TrainConfig(img_height=32, img_width=64, num_scales=1)
    target, sources = random_images(3, 0), random_images(6, 1)
    watched, losses, _ = readings_of(config, target, sources)
    plain = SfMLearner(dataclasses.replace(config))
    intrinsics = np.float32([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    for name, value in plain.train_step(target, sources, intrinsics).items():
        assert float(value) == float(losses[name])
    for name, weights in plain.release_variables().items():
        tf.debugging.assert_equal(weights, watched.release_variables()[name])
