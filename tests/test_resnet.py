"""The ResNet encoders against keras.applications, and networks with them in training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import Batch, SfMLearner, TrainConfig, run_config
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.networks.building import load_network
from sfmlearner_tf.networks.resnet_depth import ResNet18Depth, ResNet50Depth
from sfmlearner_tf.networks.resnet_pose import ResNet18Pose, ResNet50Pose

# The last layers of keras.applications.ResNet50 at 1/2 to 1/32 of the image's sides.
STAGES = ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A network of keras.applications, with weights and statistics that no seed gives, and their file."""
    model = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(None, None, 3))
    random = np.random.RandomState(0)
    for layer in model.layers:
        if layer.weights:
            values = [value + random.normal(0, 0.01, value.shape) for value in layer.get_weights()]
            if layer.name.endswith("bn"):
                values[3] = np.abs(values[3]) + 0.1
            layer.set_weights(values)
    path = str(tmp_path_factory.mktemp("weights") / "resnet50_notop.weights.h5")
    model.save_weights(path)
    return keras.Model(model.input, [model.get_layer(name).output for name in STAGES]), path


def test_the_encoder_is_that_of_keras_applications(published):
    model, path = published
    network = ResNet50Depth()
    network.encoder.load(path)
    images = np.random.RandomState(1).randint(0, 256, (2, 97, 130, 3)).astype(np.float32)
    expected = model(keras.applications.resnet50.preprocess_input(images.copy()))
    found = network.encoder.encode(images / 127.5 - 1, training=False)
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
    # At the border the padding is mid-grey there, the mean of ImageNet here.
    for ours, theirs in zip(found[:2], expected[:2]):
        inner = np.asarray(theirs)[:, 8:-8, 8:-8]
        np.testing.assert_allclose(np.asarray(ours)[:, 8:-8, 8:-8], inner, rtol=1e-3, atol=1e-4 * np.abs(inner).max())
    difference = np.abs(np.asarray(found[4]) - np.asarray(expected[4])).mean() / np.abs(np.asarray(expected[4])).mean()
    assert difference < 0.05


def test_several_images_share_the_weights(published):
    _, path = published
    depth, pose = ResNet50Depth(), ResNet50Pose(1)
    depth.encoder.load(path)
    pose.encoder.load(path)
    image = np.random.RandomState(2).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    once = depth.encoder.encode(image, training=False)[0]
    twice = pose.encoder.encode(np.concatenate([image, image], axis=-1), training=False)[0]
    np.testing.assert_allclose(twice, once, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "weights", "message"),
    [
        (ResNet50Depth, "missing.h5", "expected none, imagenet or a file, found no such file"),
        (ResNet50Depth, __file__, "cannot be loaded"),
        (ResNet18Pose, "imagenet", "there are none for resnet18, only for resnet50"),
    ],
)
def test_weights_that_do_not_fit_are_told_in_one_line(make, weights, message):
    with pytest.raises(UserError, match=f"encoder_weights={weights}: {message}") as raised:
        make().encoder.load(weights)
    assert "\n" not in str(raised.value)


def test_a_run_starts_from_given_weights_once(published):
    _, path = published
    size = {"img_height": 32, "img_width": 64, "depth_network": "resnet50", "encoder_weights": path}
    name = "depth_net/encoder/conv3_block1_1_conv/weights"
    fresh, started, going_on = (
        SfMLearner(TrainConfig(**{**size, **options})).release_variables()[name].numpy()
        for options in ({"encoder_weights": "none"}, {}, {"continue_train": True})
    )
    np.testing.assert_array_equal(fresh, going_on)
    assert np.abs(started - fresh).max() > 1e-3
    with pytest.raises(ValueError, match="encoder_weights must be none without a resnet50, got 'imagenet'"):
        TrainConfig(encoder_weights="imagenet")


def make_batch(seed=0):
    random = np.random.RandomState(seed)
    images = [tf.constant(random.randint(0, 256, (2, 64, 96, channels)), tf.uint8) for channels in (3, 6)]
    return Batch(*images, tf.constant([[[60.0, 0, 50], [0, 55, 30], [0, 0, 1]]] * 2))


def test_training_learns_and_keeps_statistics(tmp_path):
    options = {"img_height": 64, "img_width": 96, "num_scales": 1, "batch_size": 2, "depth_network": "resnet18"}
    config = TrainConfig.from_preset("scale_consistent", pose_network="resnet18", learning_rate=1e-3, **options)
    learner, batch = SfMLearner(config), make_batch()
    name = "depth_net/encoder/conv1_bn/moving_mean"
    before = learner.release_variables()[name].numpy()
    losses = [float(learner.train_step(batch)["total"]) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert np.abs(learner.release_variables()[name] - before).max() > 1e-3
    path = learner.save(str(tmp_path))
    run_config.write(config, str(tmp_path))
    loaded = load_network(path, "depth")
    assert isinstance(loaded, ResNet18Depth)
    depth = learner.predict_depth(batch.target)
    images = tf.cast(batch.target, tf.float32) / 127.5 - 1
    np.testing.assert_allclose(1 / loaded(images)[0], depth, rtol=1e-3)
    pose = load_network(path, "pose")
    assert (type(pose), pose.num_sources) == (ResNet18Pose, 2)
    sources = tf.cast(batch.sources, tf.float32) / 127.5 - 1
    found = learner.predict_pose(batch.target, batch.sources)
    np.testing.assert_allclose(pose(images, sources).poses, found, rtol=1e-2, atol=1e-3 * np.abs(found).max())
