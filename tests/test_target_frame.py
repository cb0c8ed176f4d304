"""The last frame of an example as the target: motion from the past alone, in training and in use."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from kitti_eval.trajectory import predicted_vectors_to_poses
from sfmlearner_tf import PoseExpNet, SfMLearner, TrainConfig, export, prediction, run_config
from sfmlearner_tf.data.batches import read_example
from sfmlearner_tf.data.formatted import read_split
from sfmlearner_tf.validation import _find_translations

HEIGHT, WIDTH = 32, 64
OPTIONS = {"img_height": HEIGHT, "img_width": WIDTH, "num_scales": 1, "target_frame": "last"}


def test_the_last_frame_of_a_strip_is_the_target(tmp_path):
    write_formatted_data(tmp_path, count=2, seq_length=5)
    (example, _) = read_split(str(tmp_path), "train")
    options = {**OPTIONS, "seq_length": 5, "dataset_dir": str(tmp_path)}
    last, middle = (
        read_example(TrainConfig(**{**options, "target_frame": frame}), example) for frame in ("last", "middle")
    )
    frames = [*tf.split(last.sources, 4, axis=-1), last.target]
    of_middle = tf.split(middle.sources, 4, axis=-1)
    expected = [*of_middle[:2], middle.target, *of_middle[2:]]
    for frame, other in zip(frames, expected):
        np.testing.assert_array_equal(frame, other)


@pytest.mark.usefixtures("small_depth_network")
def test_a_trajectory_is_the_same_from_a_checkpoint_and_an_export(tmp_path):
    """Of each window the poses are those of the last frame and the ones before it."""
    config = TrainConfig(**OPTIONS)
    learner = SfMLearner(config)
    run_config.write(config, str(tmp_path))
    path = learner.save(str(tmp_path))
    frames = list(np.random.RandomState(0).randint(0, 256, (4, HEIGHT, WIDTH, 3)).astype(np.uint8))
    windows = [frames[:3], frames[1:]]
    predictor = prediction.load_pose_predictor(path, HEIGHT, WIDTH)
    found = predictor.predict_windows(windows)
    for window, vectors in zip(windows, found):
        poses = learner.predict_pose(window[2][None], np.concatenate(window[:2], axis=-1)[None]).numpy()[0]
        np.testing.assert_allclose(vectors, [*poses, np.zeros(6)], rtol=1e-4, atol=1e-8)
        # The first is where the target is seen from.
        first_T_last = predicted_vectors_to_poses(vectors)[2]
        np.testing.assert_allclose(first_T_last[:3, 3], poses[0, :3], rtol=1e-4, atol=1e-8)
    export.export_saved_model(learner, str(tmp_path / "exported"))
    exported = prediction.SavedModel(str(tmp_path / "exported")).pose(HEIGHT, WIDTH)
    assert exported.target_index == 2
    np.testing.assert_allclose(exported.predict_windows(windows), found, rtol=1e-4, atol=1e-7)


@pytest.mark.usefixtures("small_depth_network")
def test_other_exports_take_the_middle(tmp_path):
    learner = SfMLearner(TrainConfig(**{**OPTIONS, "target_frame": "middle"}, seq_length=5))
    export.export_saved_model(learner, str(tmp_path))
    assert prediction.SavedModel(str(tmp_path)).pose(HEIGHT, WIDTH).target_index == 2
    assert PoseExpNet(4).target_index == 2
    assert PoseExpNet(4, target_frame="last").target_index == 4


def test_true_motion_is_from_the_target_to_the_others():
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 2, 3] = [0, 1, 3]  # forwards
    np.testing.assert_allclose(_find_translations(poses, 2)[:, 2], [3, 2])
    np.testing.assert_allclose(_find_translations(poses, 1)[:, 2], [1, -2])


def test_distances_are_from_the_middle_and_do_not_fit():
    with pytest.raises(ValueError, match=r"speed_weight must be 0 with target_frame=last, got 0\.1"):
        TrainConfig(**OPTIONS, speed_weight=0.1)
