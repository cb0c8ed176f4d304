"""A learner out of a checkpoint alone, as in a user's own code."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import SfMLearner, TrainConfig, run_config
from sfmlearner_tf.errors import UserError

SIZE = {"img_height": 32, "img_width": 96, "batch_size": 1}


def make_frames(count, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (2, 32, 96, 3 * count), np.uint8)


def test_a_run_is_used_as_it_was_trained(tmp_path):
    """Also where what it was trained with is gone, and where nothing but the options tells what depth means."""
    options = {"depth_parametrization": "softplus", "pose_network": "pairnet", "target_frame": "last", **SIZE}
    config = TrainConfig(
        val_kitti_dir="gone", best_metric="abs_rel", distribute="mirrored", precision="bfloat16", sampler="addons",
        **options,
    )  # fmt: skip
    run_config.write(config, str(tmp_path))
    learner = SfMLearner(TrainConfig(seed=3, **options))
    path = learner.save(str(tmp_path))
    again = SfMLearner.from_checkpoint(path)
    assert again.config == TrainConfig(**options)
    images = make_frames(1)
    depth = again.predict_depth(images)
    np.testing.assert_array_equal(depth, learner.predict_depth(images))
    np.testing.assert_array_equal(
        again.predict_pose(images, make_frames(2, 1)), learner.predict_pose(images, make_frames(2, 1))
    )
    one = again.predict_depth(images[1])
    assert one.shape == (32, 96)
    np.testing.assert_allclose(one, depth[1, ..., 0], rtol=1e-5)
    np.testing.assert_allclose(again.predict_depth(tf.constant(images[1])), one, rtol=1e-6)


def test_files_without_options_tell_how_many_frames_they_see(tmp_path):
    """As the authors' pose model, which sees five."""
    learner = SfMLearner(TrainConfig(seq_length=5, seed=3, **SIZE))
    again = SfMLearner.from_checkpoint(learner.save(str(tmp_path)))
    assert again.config == TrainConfig(seq_length=5)
    images, sources = make_frames(1), make_frames(4, 1)
    np.testing.assert_array_equal(again.predict_pose(images, sources), learner.predict_pose(images, sources))


def test_an_encoder_s_first_weights_may_be_gone(tmp_path):
    options = {"depth_network": "resnet50", **SIZE}
    run_config.write(TrainConfig(encoder_weights="gone.h5", **options), str(tmp_path))
    path = SfMLearner(TrainConfig(**options)).save(str(tmp_path))
    assert SfMLearner.from_checkpoint(path).config == TrainConfig(**options)


def test_pairs_of_frames_need_their_options(tmp_path):
    path = SfMLearner(TrainConfig(pose_network="pairnet", **SIZE)).save(str(tmp_path))
    with pytest.raises(UserError, match=r"expected config\.json beside this pose network of pairs of frames"):
        SfMLearner.from_checkpoint(path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"model-3"):
        SfMLearner.from_checkpoint(str(tmp_path / "model-3"))
