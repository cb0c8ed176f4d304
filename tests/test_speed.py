"""Distances that the camera moved: from GPS/IMU or a table of speeds to a loss that gives depth its metres."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import Batch, SfMLearner, TrainConfig
from sfmlearner_tf.data.odometer import locate, measure_distances, read_speeds
from sfmlearner_tf.data.sequences import Frame, FrameSequence, Intrinsics
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.losses.speed import speed_loss
from sfmlearner_tf.losses.view import make_views
from sfmlearner_tf.networks.motion import Motion


def write(path, *rows):
    path.write_text("\n".join(("time_s,speed_m_s", *rows)) + "\n")
    return str(path)


def test_the_way_is_the_integral_of_the_speed(tmp_path):
    """Constant for two seconds, then it falls to 0 within one."""
    table = read_speeds(write(tmp_path / "speeds.csv", "0,10", "2,10", "3,0"))
    np.testing.assert_allclose(table.path_m(np.array([0, 0.5, 2, 2.5, 3])), [0, 5, 20, 23.75, 25])
    assert np.isnan(table.path_m(np.array([-0.1, 3.1]))).all()


def test_frames_of_images_get_their_place_on_the_way(tmp_path):
    """Only those within the table; those before and after it are left out."""
    path = write(tmp_path / "speeds.csv", "0.5,4", "1.5,4")
    frames = tuple(Frame(f"{number:010d}", f"{number}.png") for number in range(10))
    sequence = FrameSequence("walk", "walk", frames, Intrinsics(1, 1, 0, 0))
    notes = []
    (located,) = locate([sequence], path, "", 5.0, notes)
    assert [int(frame.name) for frame in located.frames] == [3, 4, 5, 6, 7]  # at 0.6 to 1.4 s
    np.testing.assert_allclose(np.diff([frame.position_m[0] for frame in located.frames]), 4 / 5)
    (note,) = notes
    assert (note.kind, note.number, note.lost) == ("frames without a known position", 5, False)


def test_distances_are_from_the_target_to_each_source():
    positions = [(0.0, 0.0, 0.0), (3.0, 4.0, 0.0), (3.0, 4.0, 12.0)]
    np.testing.assert_allclose(measure_distances(positions, 1), [5, 12])
    np.testing.assert_allclose(measure_distances([(1.0,), (4.0,), (4.5,)], 0), [3, 3.5])


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["0,1", "0,2"], "line 3: expected times that rise, found 0 after 0"),
        (["0,-1", "1,2"], "line 2: expected a time, and a speed of 0 to 200 m/s, found 0 and -1"),
        (["0,nan", "1,2"], "line 2: expected a time, and a speed"),
        (["0,1,2", "1,2"], "line 2: expected two numbers, found '0,1,2'"),
        (["0,fast", "1,2"], "line 2: expected two numbers, found '0,fast'"),
        (["0,1"], "expected at least two rows, found 1"),
    ],
)
def test_a_table_that_is_wrong_is_named(tmp_path, rows, named):
    with pytest.raises(UserError, match=rf"speeds\.csv:? ?{named}"):
        read_speeds(write(tmp_path / "speeds.csv", *rows))


def test_other_columns_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("speed,time\n")
    with pytest.raises(UserError, match=r"a\.csv: expected the columns time_s,speed_m_s, found 'speed,time'"):
        read_speeds(str(tmp_path / "a.csv"))
    with pytest.raises(UserError, match=r"b\.csv"):
        read_speeds(str(tmp_path / "b.csv"))


def view_of(poses, distances, scale_count=1):
    examples = poses.shape[0]
    images = [tf.zeros([examples, 4, 6, channels], tf.float64) for channels in (3, 6)]
    camera = tf.constant(np.tile([[6.0, 0, 3], [0, 6, 2], [0, 0, 1]], (examples, 1, 1)))
    batch = Batch(*images, camera, {"distances": tf.constant(distances)})
    disparities = [tf.ones([examples, 4 // 2**s, 6 // 2**s, 1], tf.float64) for s in range(scale_count)]
    return make_views(batch, disparities, Motion(poses))


def test_the_loss_by_hand():
    poses = np.zeros((2, 2, 6))
    poses[0, 0, :3], poses[0, 1, :3], poses[1, 1, :3] = (3, 0, 4), (0, 0, 1), (0, 2, 0)
    distances = np.array([[5.5, 1.0], [0.25, 1.0]])
    (found,) = speed_loss(view_of(tf.constant(poses), distances, scale_count=2))
    assert float(found.value()) == pytest.approx((0.5 + 0 + 0.25 + 1) / 4, abs=1e-6)


def test_the_gradient_equals_finite_differences_and_is_finite_without_motion():
    random = np.random.RandomState(0)
    poses, distances = tf.constant(random.normal(size=(2, 2, 6))), random.uniform(0, 2, (2, 2))

    def cost(values):
        return speed_loss(view_of(values, distances))[0].value()

    with tf.GradientTape() as tape:
        tape.watch(poses)
        value = cost(poses)
    gradient = tape.gradient(value, poses).numpy()
    assert not gradient[..., 3:].any()
    for index in np.ndindex(2, 2, 3):
        step = np.zeros((2, 2, 6))
        step[index] = 1e-6
        assert gradient[index] == pytest.approx(float(cost(poses + step) - cost(poses - step)) / 2e-6, rel=1e-5)
    still = tf.zeros([2, 2, 6], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(still)
        value = cost(still)
    assert np.isfinite(tape.gradient(value, still)).all()


@pytest.mark.usefixtures("small_depth_network")
@pytest.mark.parametrize("preset", ["release", "scale_consistent"])
def test_training_comes_to_move_as_far_as_was_measured(preset):
    options = {"batch_size": 2, "img_height": 32, "img_width": 64, "num_scales": 1, "learning_rate": 1e-2}
    weight = 100.0
    learner = SfMLearner(TrainConfig.from_preset(preset, speed_weight=weight, **options))
    random = np.random.RandomState(4)
    pictures = [tf.constant(random.randint(0, 256, (2, 32, 64, channels), np.uint8)) for channels in (3, 6)]
    camera = tf.constant([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    batch = Batch(*pictures, camera, {"distances": tf.constant([[0.8, 0.8], [0.8, 0.8]])})
    losses = [float(learner.train_step(batch)["speed"]) / weight for _ in range(80)]
    assert losses[0] == pytest.approx(0.8, abs=0.05)
    assert min(losses[60:]) < 0.4
