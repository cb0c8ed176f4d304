from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sfmlearner_tf import export, prediction
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.networks.disp_net import DispNet
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet
from tiny_saved_model import write_tiny_saved_model

HEIGHT, WIDTH = 32, 64


@pytest.fixture(scope="module")
def disp_net(tmp_path_factory):
    """A depth network and a checkpoint of it alone."""
    network = DispNet(seed=1)
    path = CheckpointFolder(str(tmp_path_factory.mktemp("depth")), network.release_variables()).save_step(7)
    return network, path


@pytest.fixture(scope="module")
def pose_net(tmp_path_factory):
    """A pose network for three frames, with masks, and a checkpoint of it alone."""
    network = PoseExpNet(2, predict_masks=True, seed=1)
    path = CheckpointFolder(str(tmp_path_factory.mktemp("pose")), network.release_variables()).save_step(7)
    return network, path


@pytest.fixture
def paths(tmp_path):
    """Five images of noise, twice as large as the networks' input, and of two modes."""
    random = np.random.RandomState(0)
    names = [tmp_path / f"{index}.png" for index in range(5)]
    for name in names:
        Image.fromarray(random.randint(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8)).save(name)
    Image.open(names[-1]).convert("RGBA").save(names[-1])
    return names


def predict_depths(ckpt_file, paths, batch_size=1):
    predictor = prediction.load_depth_predictor(ckpt_file, HEIGHT, WIDTH)
    return prediction.predict_depths(predictor, paths, batch_size)


def read(path, resampling):
    return np.asarray(Image.open(path).convert("RGB").resize((WIDTH, HEIGHT), resampling))


def test_depths_of_lanczos_resized_images_in_order(disp_net, paths):
    network, ckpt_file = disp_net
    depths = list(predict_depths(ckpt_file, paths, batch_size=2))
    assert len(depths) == 5
    for path, depth in zip(paths, depths):
        image = read(path, Image.Resampling.LANCZOS)[None]
        expected = 1 / network(preprocess(tf.constant(image)))[0][0, ..., 0].numpy()
        np.testing.assert_allclose(depth, expected, rtol=1e-5)


def test_the_range_of_disparity_is_the_checkpoints(disp_net, paths, tmp_path):
    variables = {**disp_net[0].release_variables(), "train_op/min_disp": tf.Variable(0.5)}
    ckpt_file = CheckpointFolder(str(tmp_path / "other"), variables).save_step(7)
    network = DispNet(seed=1, min_disp=0.5)
    (depth,) = predict_depths(ckpt_file, paths[:1])
    image = read(paths[0], Image.Resampling.LANCZOS)[None]
    expected = 1 / network(preprocess(tf.constant(image)))[0][0, ..., 0].numpy()
    np.testing.assert_allclose(depth, expected, rtol=1e-5)
    assert expected.max() < 2


def test_16_bits_are_scaled_to_8(disp_net, paths, tmp_path):
    grey = np.asarray(Image.open(paths[0]).convert("L"))
    depths = []
    for name, image in (("8.png", grey), ("16.png", grey.astype(np.uint16) * 256 + 9)):
        Image.fromarray(image).save(tmp_path / name)
        depths += predict_depths(disp_net[1], [tmp_path / name])
    np.testing.assert_array_equal(*depths)


def test_motions_of_sliding_windows(pose_net, paths):
    network, ckpt_file = pose_net
    predictor = prediction.load_pose_predictor(ckpt_file, HEIGHT, WIDTH)
    motions = list(prediction.predict_motions(predictor, paths, batch_size=2))
    assert len(motions) == 3
    images = [preprocess(tf.constant(read(path, Image.Resampling.BILINEAR)[None])) for path in paths]
    for first, vectors in enumerate(motions):
        assert vectors.shape == (3, 6)
        assert not vectors[1].any()
        sources = tf.concat([images[first], images[first + 2]], axis=-1)
        expected = network(images[first + 1], sources).poses[0].numpy()
        np.testing.assert_allclose(vectors[[0, 2]], expected, atol=1e-8)


def test_an_unfit_checkpoint_is_named(disp_net, pose_net):
    with pytest.raises(UserError, match="lacks 64 of 64 variables: depth_net/cnv1/weights"):
        prediction.load_depth_predictor(pose_net[1], HEIGHT, WIDTH)
    with pytest.raises(UserError, match=r"lacks 16 of 16 variables: pose_exp_net/cnv1/weights"):
        prediction.load_pose_predictor(disp_net[1], HEIGHT, WIDTH)


def test_the_length_of_snippets_is_the_networks(pose_net):
    for given in (None, 3):
        assert prediction.load_pose_predictor(pose_net[1], HEIGHT, WIDTH, given).seq_length == 3
    with pytest.raises(UserError, match=r"model-7: its pose network sees 3 frames, expected seq_length=3, got 5$"):
        prediction.load_pose_predictor(pose_net[1], HEIGHT, WIDTH, 5)


def test_an_unfit_saved_model_is_named(tmp_path):
    with pytest.raises(UserError, match=r"expected the folder of a SavedModel, found no saved_model\.pb"):
        prediction.SavedModel(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match=f"{tmp_path}: expected a SavedModel; "):
        prediction.SavedModel(str(tmp_path))
    module = tf.Module()
    other = tf.function(lambda: tf.constant(1), input_signature=[]).get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / "other"), {"depth": other})
    saved = prediction.SavedModel(str(tmp_path / "other"))
    with pytest.raises(UserError, match="other: expected the signature 'pose', found depth"):
        saved.pose(HEIGHT, WIDTH)
    with pytest.raises(UserError, match="other: expected the signature 'depth' with the output 'depth'"):
        saved.depth()


def test_a_damaged_saved_model_is_named(tmp_path):
    model, variables = tmp_path / "model" / "saved_model.pb", tmp_path / "model" / "variables"
    write_tiny_saved_model(model.parent)
    whole = model.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole.replace(b"signatures", b"sIgnatures"), whole[::-1]):
        model.write_bytes(content)
        with pytest.raises(UserError, match=f"^{model.parent}: expected a SavedModel; .+$"):
            prediction.SavedModel(str(model.parent))
    model.write_bytes(whole)
    for damage in (lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink):
        for path in variables.iterdir():
            content = path.read_bytes()
            damage(path)
            with pytest.raises(UserError, match=f"^{model.parent}: expected a SavedModel; .+$"):
                prediction.SavedModel(str(model.parent))
            path.write_bytes(content)
    assert prediction.SavedModel(str(model.parent)).depth()[1:] == (HEIGHT, WIDTH)


def test_any_changed_byte_of_an_export_is_named(tmp_path):
    with export.replace_export(str(tmp_path / "model")) as folder:
        write_tiny_saved_model(Path(folder))
    random = np.random.RandomState(0)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        path = tmp_path / "model" / name
        content = path.read_bytes()
        for place in random.randint(0, len(content), 20):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(UserError, match=f"^{path}: expected the file that was exported, found another sum"):
                prediction.SavedModel(str(tmp_path / "model"))
        path.write_bytes(content)
    path.unlink()
    with pytest.raises(UserError, match=f"^{path}: expected a file, as SHA256SUMS lists it; No such file"):
        prediction.SavedModel(str(tmp_path / "model"))
    path.write_bytes(content)
    assert prediction.SavedModel(str(tmp_path / "model")).depth()[1:] == (HEIGHT, WIDTH)


def test_a_saved_model_of_another_kind_is_named(tmp_path):
    images = np.zeros([1, HEIGHT, WIDTH, 3], np.uint8)

    def load(function, *inputs):
        signature = tf.function(function, [tf.TensorSpec([None, None, None, 3], tf.uint8, name) for name in inputs])
        tf.saved_model.save(tf.Module(), str(tmp_path), {"depth": signature.get_concrete_function()})
        return prediction.SavedModel(str(tmp_path))

    for shape in ([1, HEIGHT, WIDTH], [1, HEIGHT, 0, 1]):
        saved = load(lambda images, shape=shape: {"depth": tf.zeros(shape)}, "images")
        with pytest.raises(UserError, match=r"'depth' of the shape \[B, height, width, 1\], found \(1, 32, "):
            saved.depth()
    saved = load(lambda images: {"depth": tf.cast(images, tf.float32)}, "images")
    with pytest.raises(UserError, match=r"'depth' of the shape \[B, height, width, 1\], found \(None, None, None, 3\)"):
        saved.depth()
    for names, message in ((["pictures"], "pictures"), (["images"], "")):
        saved = load(fail_on_black, *names)
        with pytest.raises(UserError, match=f"^{tmp_path}: its signature 'depth' fails; .*{message}.*$"):
            saved.depth().predict(images)


def fail_on_black(images):
    tf.debugging.Assert(tf.reduce_any(images > 0), [images])
    return {"depth": tf.ones([tf.shape(images)[0], HEIGHT, WIDTH, 1])}


def test_an_unreadable_image_is_named(disp_net, paths):
    paths[3].write_bytes(paths[3].read_bytes()[:300])
    depths = predict_depths(disp_net[1], paths)
    with pytest.raises(UserError, match=r"3\.png: expected an image"):
        list(depths)
    with pytest.raises(UserError, match=r"9\.png: expected an image; No such file"):
        list(predict_depths(disp_net[1], [paths[0].with_name("9.png")]))


def test_a_stack_is_whole_or_not_there(tmp_path):
    path = tmp_path / "out" / "stack.npy"
    arrays = np.random.RandomState(0).rand(3, 2, 4).astype(np.float32)
    prediction.write_stack(path, iter(arrays), arrays.shape)
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), arrays)

    def stop_early():
        yield arrays[0] + 1
        raise UserError("damaged")

    with pytest.raises(UserError, match="damaged"):
        prediction.write_stack(path, stop_early(), arrays.shape)
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), arrays)
    assert [file.name for file in path.parent.iterdir()] == ["stack.npy"]
    link = tmp_path / "link.npy"
    link.symlink_to(path)
    prediction.write_stack(link, iter(arrays + 1), arrays.shape)
    assert link.is_symlink()
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), arrays + 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"stack\.npy: cannot write the predictions"):
        prediction.write_stack(tmp_path / "file" / "stack.npy", iter(arrays), arrays.shape)
