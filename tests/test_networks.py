"""The layers, DispNet and PoseExpNet; their numbers are proven in parity/test_golden.py."""

import json
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from golden_numbers import FOLDER
from sfmlearner_tf import DispNet, PoseExpNet, SfMLearner, TrainConfig
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.networks.building import build_network, get_network, load_network
from sfmlearner_tf.networks.depth_network import DepthNetwork
from sfmlearner_tf.networks.layers import crop_like, resize_bilinear
from sfmlearner_tf.networks.pair_net import PairNet
from sfmlearner_tf.networks.resnet_depth import ResNet18Depth
from sfmlearner_tf.networks.resnet_pose import ResNet50Pose
from small_network import SmallNet


def images_for(network, height=64, width=96):
    """One input for each argument of a network."""
    random = np.random.RandomState(0)
    channels = (3,) if isinstance(network, DepthNetwork) else (3, 3 * network.num_sources)
    return [random.uniform(-1, 1, (2, height, width, count)).astype(np.float32) for count in channels]


def outputs_of(network, images):
    return [output.numpy() for output in tf.nest.flatten(network(*images))]


def changed(network):
    """With weights that no seed gives, and outputs that differ from pixel to pixel."""
    for name, variable in network.release_variables().items():
        variable.assign(1.3 * variable if name.endswith("weights") else variable + 0.01)
    return network


@pytest.mark.parametrize(("height", "width"), [(7, 4), (8, 4), (8, 3), (7, 3)])
def test_crop_like_is_legacy_nearest_resizing(height, width):
    features = tf.random.stateless_normal([2, 8, 4, 3], [0, 0])
    cropped = crop_like(features, tf.zeros([2, height, width, 5]))
    np.testing.assert_array_equal(cropped, tf.compat.v1.image.resize_nearest_neighbor(features, [height, width]))


def test_resize_bilinear_by_hand():
    row = tf.constant([[[[0.0], [2.0], [6.0]]]])
    np.testing.assert_allclose(resize_bilinear(row, 1, 6)[0, 0, :, 0], [0, 1, 2, 4, 6, 6])


def test_parameter_counts_are_the_release_s():
    """Also before any image was seen, and however the network is built."""
    for build in (lambda network: network.build(), lambda network: network.build((None, 64, 96, 3))):
        for network, count in (
            (DispNet(), 31_596_900),
            (PoseExpNet(2), 1_590_668),
            (PoseExpNet(2, predict_masks=True), 1_590_668 + 1_048_512),
        ):
            build(network)
            assert network.count_params() == count


def test_variables_are_those_of_the_released_model():
    recorded = json.loads((FOLDER / "released_variables.json").read_text())
    ours = {**DispNet().release_variables(), **PoseExpNet(2).release_variables()}
    shapes = {name: variable.shape.as_list() for name, variable in ours.items()}
    assert shapes | {"train_op/global_step": []} == recorded


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (45, 100), (128, 416)])
def test_any_size(height, width):
    disparities = DispNet()(tf.zeros([1, height, width, 3]))
    poses, logits = PoseExpNet(4, True)(tf.zeros([1, height, width, 3]), tf.zeros([1, height, width, 12]))
    assert poses.shape == (1, 4, 6)
    for scale in range(4):
        size = (-(-height // 2**scale), -(-width // 2**scale))
        assert disparities[scale].shape == (1, *size, 1)
        assert logits[scale].shape == (1, *size, 8)


def test_disparity_stays_in_its_range():
    images = tf.random.stateless_uniform([2, 32, 64, 3], [0, 0], -1, 1)
    network = DispNet()
    for disparity in network(images):
        assert 0.01 <= np.min(disparity) <= np.max(disparity) <= 10.01


def test_seed_decides_the_weights():
    images = tf.random.stateless_uniform([1, 32, 32, 3], [0, 0], -1, 1)
    same, again, other = (DispNet(seed)(images)[0].numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: DispNet(min_disp=0.1),
        lambda: PoseExpNet(4, True),
        lambda: PairNet(4, both_orders=True),
        lambda: ResNet18Depth(min_disp=0.1),
        lambda: ResNet50Pose(3),
    ],
    ids=["depth", "pose", "pairs", "resnet18", "resnet50"],
)
def test_a_keras_file_brings_the_weights_back(make, tmp_path):
    network = changed(make())
    images = images_for(network)
    path = str(tmp_path / "network.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as that of a layer that was not built
        make().save(path)
        network.save(path)
        loaded = keras.saving.load_model(path)
    assert type(loaded) is type(network)
    assert loaded.get_config() == network.get_config()
    for ours, theirs in zip(outputs_of(network, images), outputs_of(loaded, images)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_keras_file_loads_in_a_fresh_process(tmp_path):
    """Keras finds the class by the name under which its import registers it."""
    network = changed(PoseExpNet(2))
    path = str(tmp_path / "network.keras")
    network.save(path)
    code = (
        f"import keras; from sfmlearner_tf import PoseExpNet; network = keras.saving.load_model({path!r}); "
        "print(float(abs(network.release_variables()['pose_exp_net/cnv1/weights'].numpy()).sum()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = np.abs(network.release_variables()["pose_exp_net/cnv1/weights"].numpy()).sum()
    np.testing.assert_allclose(float(result.stdout), expected, rtol=1e-5, err_msg=result.stderr)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("cls", [DispNet, PoseExpNet, PairNet, ResNet18Depth])
def test_low_precision_computes_within_and_gives_full_precision(cls, policy):
    full, low = changed(cls()), changed(cls(dtype=policy))
    images = images_for(full)
    assert low.get_config()["dtype"] == policy
    assert type(low).from_config(low.get_config()).compute_dtype == low.compute_dtype == policy.split("_")[1]
    assert all(variable.dtype == tf.float32 for variable in low.release_variables().values())
    exact, found = outputs_of(full, images), outputs_of(low, images)
    for ours, theirs in zip(found, exact):
        assert ours.dtype == np.float32
        difference = np.abs(ours - theirs).mean() / np.abs(theirs).mean()
        assert 1e-7 < difference < 0.05  # other than in full precision, but near


@pytest.mark.parametrize("cls", [DispNet, PoseExpNet, PairNet, ResNet18Depth])
def test_keras_inputs_of_unknown_size(cls):
    network = cls()
    images = images_for(network, 33, 47)
    inputs = [keras.Input((None, None, image.shape[-1])) for image in images]
    model = keras.Model(inputs, tf.nest.flatten(network(*inputs)))
    for ours, theirs in zip(tf.nest.flatten(model(images)), outputs_of(network, images)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_networks_out_of_checkpoints(tmp_path):
    depth, pose = changed(DispNet(min_disp=0.1)), changed(PoseExpNet(4, predict_masks=True))
    variables = {**depth.release_variables(), **pose.release_variables(), "train_op/min_disp": tf.Variable(0.1)}
    path = CheckpointFolder(str(tmp_path), variables).save_step(1)
    images = images_for(pose)
    loaded = DispNet.from_checkpoint(path)
    assert loaded.min_disp == pytest.approx(0.1)
    for ours, theirs in zip(outputs_of(loaded, images[:1]), outputs_of(depth, images[:1])):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # Without masks, unless they are asked for.
    np.testing.assert_array_equal(PoseExpNet.from_checkpoint(path)(*images).poses, pose(*images).poses)
    with_masks = PoseExpNet.from_checkpoint(path, predict_masks=True)(*images)
    np.testing.assert_array_equal(with_masks.mask_logits[0], pose(*images).mask_logits[0])
    assert isinstance(load_network(path, "pose"), PoseExpNet)


def test_a_new_network_is_one_class_and_one_registration(small_depth_network, tmp_path):
    learner = SfMLearner(TrainConfig(img_height=32, img_width=64))
    images = [np.random.RandomState(0).randint(0, 256, (2, 32, 64, count), np.uint8) for count in (3, 6)]
    intrinsics = np.float32([[[40, 0, 32], [0, 40, 16], [0, 0, 1]]] * 2)
    names = {name.split("/", 1)[1] for name in learner.disp_net.release_variables()}
    statistics = {"norm/moving_mean", "norm/moving_variance"}
    trained = {f"{layer}/{kind}" for layer in ("features", "disp") for kind in ("weights", "biases")}
    assert names == statistics | trained | {"norm/gamma", "norm/beta"}
    moving_mean = learner.release_variables()["depth_net/norm/moving_mean"]
    # Only training moves the statistics, and Adam leaves them alone.
    learner.forward(*images, intrinsics)
    assert not moving_mean.numpy().any()
    learner.train_step(*images, intrinsics)
    assert moving_mean.numpy().any()
    assert not any("moving" in name for name in learner.optimizer.state())
    path = learner.save(str(tmp_path))
    loaded = load_network(path, "depth")
    assert isinstance(loaded, SmallNet)
    np.testing.assert_allclose(
        loaded(preprocess(tf.constant(images[0])))[0], 1 / learner.predict_depth(images[0]), rtol=1e-5
    )


def test_registered_names():
    config = TrainConfig(seed=3, min_disp=0.1, initial_disp=0.5, seq_length=5, explain_reg_weight=0.2)
    depth, pose = build_network("depth", config), build_network("pose", config)
    assert (type(depth), depth.min_disp, depth.seed) == (DispNet, 0.1, 3)
    assert (type(pose), pose.num_sources, pose.predict_masks, pose.seed) == (PoseExpNet, 4, True, 3)
    with pytest.raises(ValueError, match="depth network must be one of dispnet, resnet18, resnet50, got 'resnet'"):
        get_network("depth", "resnet")


def test_wrong_images_are_refused():
    with pytest.raises(
        ValueError, match=r"images must be \[B, H, W, 3\] with H and W at least 32, got \(1, 31, 64, 3\)"
    ):
        DispNet()(tf.zeros([1, 31, 64, 3]))
    with pytest.raises(ValueError, match=r"sources must be \[B, H, W, 6\]"):
        PoseExpNet(2)(tf.zeros([1, 32, 64, 3]), tf.zeros([1, 32, 64, 9]))
    with pytest.raises(ValueError, match="num_sources must be at least 1, got 0"):
        PoseExpNet(0)
