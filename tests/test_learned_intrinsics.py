"""Intrinsics that the pose network learns: from the head to the warp, through augmentation, and out of a run again."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import Batch, PoseExpNet, SfMLearner, TrainConfig, export, run_config
from sfmlearner_tf.data import augmentation, batches
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.geometry import Rigid3, mirror_back, project_pixels
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.networks.building import load_pose_network
from sfmlearner_tf.networks.motion import ExtendedMotion
from sfmlearner_tf.networks.pair_net import PairNet
from sfmlearner_tf.tools.predict_cloud import find_camera
from sfmlearner_tf.trainer import Trainer
from small_train import use_small_network

HEIGHT, WIDTH = 32, 64
OPTIONS = {"img_height": HEIGHT, "img_width": WIDTH, "num_scales": 1, "learn_intrinsics": True}


def make_batch(examples=2):
    images = np.random.RandomState(1).randint(0, 256, (examples, HEIGHT, WIDTH, 9)).astype(np.uint8)
    return Batch(tf.constant(images[..., :3]), tf.constant(images[..., 3:]), tf.eye(3, batch_shape=[examples]))


def frames_of(batch):
    return preprocess(batch.target), preprocess(batch.sources)


def stir(network):
    """Weights with which one image gives other intrinsics than the next."""
    for variable in network.release_variables().values():
        variable.assign(3 * variable + 0.01)
    return network


def camera_of(raw):
    """The intrinsics of the head's four numbers, in NumPy."""
    fx, fy = np.log1p(np.exp(raw[:2])) * (WIDTH, HEIGHT)
    cx, cy = (raw[2:] + 0.5) * (WIDTH, HEIGHT)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


@pytest.mark.parametrize("make", [PoseExpNet, PairNet])
def test_the_head_by_hand(make):
    network = make(2, learn_intrinsics=True)
    weights = network.release_variables()
    plain = make(2).release_variables()
    assert sorted(set(weights) - set(plain)) == [
        f"pose_exp_net/pose/intrinsics/{name}" for name in ("biases", "weights")
    ]
    weights["pose_exp_net/pose/intrinsics/weights"].assign(np.zeros([1, 1, 256, 4]))
    weights["pose_exp_net/pose/intrinsics/biases"].assign([1.0, -0.5, 0.1, -0.2])
    found = network(*frames_of(make_batch())).intrinsics[0]
    np.testing.assert_allclose(found, [camera_of(np.array([1, -0.5, 0.1, -0.2]))] * 2, rtol=1e-6)


@pytest.mark.parametrize("make", [PoseExpNet, PairNet])
def test_a_known_ratio_of_the_focal_lengths_is_held(make, tmp_path):
    frames = frames_of(make_batch())
    free, held = (stir(make(2, learn_intrinsics=True, focal_ratio=ratio)) for ratio in (0.0, 1.25))
    camera, found = (network(*frames).intrinsics[0].numpy() for network in (free, held))
    np.testing.assert_allclose(found[:, 1, 1], 1.25 * camera[:, 0, 0], rtol=1e-6)
    found[:, 1, 1] = camera[:, 1, 1]
    np.testing.assert_array_equal(found, camera)
    # Whoever reads the checkpoint holds it, too.
    name = {PoseExpNet: "posenet", PairNet: "pairnet"}[make]
    learner = SfMLearner(TrainConfig(**OPTIONS, focal_ratio=1.25, pose_network=name))
    run_config.write(learner.config, str(tmp_path))
    path = learner.save(str(tmp_path))
    assert load_pose_network(path).focal_ratio == 1.25
    assert load_pose_network(path).for_inference().focal_ratio == 1.25


@pytest.mark.parametrize("make", [PoseExpNet, PairNet])
def test_a_camera_that_is_known_to_be_centred_is(make, tmp_path):
    frames = frames_of(make_batch())
    free, centred = (stir(make(2, learn_intrinsics=True, centred=known)) for known in (False, True))
    camera, found = (network(*frames).intrinsics[0].numpy() for network in (free, centred))
    height, width = frames[0].shape[1:3]
    np.testing.assert_array_equal(found[:, :2, 2], [[width / 2, height / 2]] * 2)
    assert np.abs(camera[:, :2, 2] - found[:, :2, 2]).min() > 1e-3
    found[:, :2, 2] = camera[:, :2, 2]
    np.testing.assert_array_equal(found, camera)
    name = {PoseExpNet: "posenet", PairNet: "pairnet"}[make]
    learner = SfMLearner(TrainConfig(**OPTIONS, centred=True, pose_network=name))
    run_config.write(learner.config, str(tmp_path))
    path = learner.save(str(tmp_path))
    assert load_pose_network(path).centred
    assert load_pose_network(path).for_inference().centred


def test_the_camera_is_the_mean_over_pairs_and_orders():
    batch, network = make_batch(), stir(PairNet(2, both_orders=True, learn_intrinsics=True))
    single = PairNet(1, learn_intrinsics=True)
    for name, variable in single.release_variables().items():
        variable.assign(network.release_variables()[name])
    target, sources = frames_of(batch)
    frames = [sources[..., :3], sources[..., 3:]]
    pairs = [pair for source in frames for pair in ((target, source), (source, target))]
    apart = np.array([single(*pair).intrinsics[0] for pair in pairs])
    assert apart.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(network(target, sources).intrinsics[0], apart.mean(axis=0), rtol=1e-5)
    # In use it sees one order.
    alone = network.for_inference()(target, sources)
    np.testing.assert_allclose(alone.intrinsics[0], apart[::2].mean(axis=0), rtol=1e-5)


def test_what_augmentation_did_and_the_camera_make_the_augmented_camera():
    camera = np.float32([[50, 0, 30.5], [0, 44, 14.25], [0, 0, 1]])
    batch, step = make_batch(16), tf.constant(3, tf.int64)
    known = batch._replace(intrinsics=tf.constant(np.tile(camera, (16, 1, 1))))
    known = augmentation.augment(augmentation.flip(known, 5, step), 5, step)
    unknown = augmentation.augment(augmentation.flip(batch, 5, step, unknown_camera=True), 5, step)
    assert 0 < np.mean(unknown.intrinsics[:, 0, 0] < 0) < 1
    np.testing.assert_allclose(mirror_back(unknown.intrinsics @ camera), known.intrinsics, rtol=1e-5)
    np.testing.assert_array_equal(unknown.sources, known.sources)


def test_gradient_of_the_warp_equals_finite_differences():
    random = np.random.RandomState(2)
    depth, pose = tf.constant(random.uniform(2, 5, (1, 4, 6))), tf.constant(random.uniform(-0.2, 0.2, (1, 6)))
    weights = tf.constant(random.normal(size=(1, 2, 24)))
    camera = tf.constant([[[7.0, 0, 3.1], [0, 6.0, 1.8], [0, 0, 1]]], tf.float64)

    def objective(intrinsics):
        return tf.reduce_sum(weights * project_pixels(depth, Rigid3.from_vector(pose), intrinsics)[0])

    with tf.GradientTape() as tape:
        tape.watch(camera)
        value = objective(camera)
    gradient = tape.gradient(value, camera).numpy()[0]
    for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)):
        step = np.zeros((1, 3, 3))
        step[0, row, column] = 1e-5
        difference = (objective(camera + step) - objective(camera - step)) / 2e-5
        np.testing.assert_allclose(gradient[row, column], difference, rtol=1e-6)


@pytest.fixture(scope="module")
def learner():
    learner = SfMLearner(TrainConfig(**OPTIONS))
    weights = learner.release_variables()
    weights["pose_exp_net/pose/intrinsics/weights"].assign(np.random.RandomState(0).normal(size=(1, 1, 256, 4)))
    weights["pose_exp_net/pose/pred/biases"].assign(np.linspace(-1, 1, 12))
    return learner


def test_the_learner_warps_with_what_it_learned(learner):
    plain = SfMLearner(TrainConfig(**{**OPTIONS, "learn_intrinsics": False}))
    for name, variable in plain.release_variables().items():
        variable.assign(learner.release_variables()[name])
    batch = make_batch()
    cropped = tf.constant([[-1.1, 0, 60.0], [0, 1.05, -2.0], [0, 0, 1]])
    motion = learner.pose_exp_net(*frames_of(batch))
    camera = cropped.numpy() @ motion.intrinsics[0].numpy()
    camera[:, 0, 0] *= -1
    found = learner.forward(batch._replace(intrinsics=tf.stack([cropped] * 2)))
    np.testing.assert_allclose(found["intrinsics"], camera, rtol=1e-5)
    known = plain.forward(batch._replace(intrinsics=tf.constant(camera)))
    assert 0.3 < np.mean(known["projected"][0] != 0) < 0.999
    np.testing.assert_allclose(found["projected"][0], known["projected"][0], atol=2e-4)
    np.testing.assert_allclose(found["losses"]["total"], known["losses"]["total"], rtol=1e-4)
    assert np.abs(learner.forward(batch)["projected"][0] - known["projected"][0]).mean() > 1e-3


def test_a_step_moves_the_camera(learner):
    head = learner.release_variables()["pose_exp_net/pose/intrinsics/biases"]
    before = head.numpy()
    learner.train_step(make_batch())
    assert np.all(head.numpy() != before)


def test_a_checkpoint_and_a_file_of_keras_bring_the_head_back(learner, tmp_path):
    frames = frames_of(make_batch())
    expected = learner.pose_exp_net(*frames).intrinsics[0]
    found = load_pose_network(learner.save(str(tmp_path)))(*frames)
    assert isinstance(found, ExtendedMotion)
    np.testing.assert_allclose(found.intrinsics[0], expected, rtol=1e-6)
    learner.pose_exp_net.save(tmp_path / "pose.keras")
    loaded = keras.models.load_model(tmp_path / "pose.keras", custom_objects={"PoseExpNet": PoseExpNet})
    np.testing.assert_allclose(loaded(*frames).intrinsics[0], expected, rtol=1e-6)


def test_an_export_gives_them(learner, tmp_path):
    export.export_saved_model(learner, str(tmp_path / "saved"))
    batch = make_batch()
    found = tf.saved_model.load(str(tmp_path / "saved")).signatures["pose"](target=batch.target, sources=batch.sources)
    expected = learner.pose_exp_net(*frames_of(batch)).intrinsics[0]
    np.testing.assert_allclose(found["intrinsics"], expected, rtol=1e-5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data whose camera files nobody may read."""
    use_small_network(monkeypatch)
    write_formatted_data(tmp_path / "data", height=HEIGHT, width=WIDTH)
    (tmp_path / "data" / "prepared_with.json").write_text(json.dumps({"intrinsics": "unknown"}))
    for path in (tmp_path / "data" / "drive").glob("*_cam.txt"):
        path.write_text("unread")
    return tmp_path


def config_of(folder, **options):
    folders = {"dataset_dir": str(folder / "data"), "checkpoint_dir": str(folder / "run")}
    return TrainConfig(**{**OPTIONS, **folders, "max_steps": 3, "val_freq": 2, "random_flip": True, **options})


def test_data_without_intrinsics_is_for_runs_that_learn_them(folder):
    with pytest.raises(UserError, match="learn_intrinsics: expected true with data prepared with intrinsics=unknown"):
        Trainer(config_of(folder, learn_intrinsics=False))


def test_a_run_records_its_camera_and_keeps_it_when_it_continues(folder, capsys):
    Trainer(config_of(folder)).run()
    run = str(folder / "run")
    found = run_config.read_intrinsics(run)
    assert list(found) == ["fx", "fy", "cx", "cy", "fx_spread", "fy_spread", "cx_spread", "cy_spread"]
    assert f"fx {found['fx']:.4g}" in capsys.readouterr().out
    trainer = Trainer(config_of(folder, continue_train=True, max_steps=4, val_freq=0))
    trainer.run()
    assert run_config.read_intrinsics(run) == found
    # Those of the one validation example, after the steps before.
    example = batches.read_example(trainer.config, trainer.examples[0])
    learned = trainer.learner.forward(batches.stack_examples([example]))["intrinsics"].numpy()[0]
    assert learned[0, 0] == pytest.approx(found["fx"], rel=0.05)
    assert learned[1, 2] == pytest.approx(found["cy"], rel=0.05)
    # An image of the double width and the triple height.
    camera = find_camera("ply", None, str(folder / "run" / "model.latest"))(2 * WIDTH, 3 * HEIGHT)
    assert camera == pytest.approx((2 * found["fx"], 3 * found["fy"], 2 * found["cx"], 3 * found["cy"]))


def test_clouds_need_a_camera(tmp_path):
    run_config.write(TrainConfig(), str(tmp_path))
    for ckpt_file in (None, str(tmp_path / "model-1")):
        with pytest.raises(
            UserError, match="ply: expected --intrinsics=fx,fy,cx,cy, or a checkpoint whose run learned"
        ):
            find_camera("ply", None, ckpt_file)


@pytest.mark.parametrize("found", ["7", '{"fx": 1.0}', '{"fx": -1.0, "fy": 1.0, "cx": 1.0, "cy": 1.0}', "NaN"])
def test_damaged_intrinsics_are_told(tmp_path, found):
    (tmp_path / "config.json").write_text(f'{{"options": {{}}, "intrinsics": {found}}}')
    with pytest.raises(UserError, match=r"config\.json: expected intrinsics fx, fy, cx and cy, found: "):
        run_config.read_intrinsics(str(tmp_path))
