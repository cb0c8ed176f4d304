"""SavedModel, TFLite and ONNX of both networks against the networks themselves, on 32x64 pixels."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sfmlearner_tf import SfMLearner, TrainConfig, export, export_check, export_onnx, export_tflite
from sfmlearner_tf.checkpoint import MIN_DISP
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.errors import UserError

HEIGHT, WIDTH, SEQ_LENGTH = 32, 64, 5


@pytest.fixture(scope="module")
def learner():
    """A learner of masks too, which are of no use to an export."""
    options = {"img_height": HEIGHT, "img_width": WIDTH, "seq_length": SEQ_LENGTH, "explain_reg_weight": 0.2}
    learner = SfMLearner(TrainConfig(**options))
    for weight in learner.release_variables().values():
        # Fresh weights give almost the same depth everywhere, which would hide mistakes.
        weight.assign(1.3 * weight)
    return learner


@pytest.fixture(scope="module")
def networks(learner):
    return export.Exportable(HEIGHT, WIDTH, {"depth": learner.disp_net, "pose": learner.pose_exp_net.for_inference()})


@pytest.fixture(scope="module")
def saved_model(learner, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "saved_model"
    export.export_saved_model(learner, str(path))
    return path


@pytest.fixture(scope="module")
def signatures(saved_model):
    return tf.saved_model.load(str(saved_model)).signatures


def make_images(batch_size, height, width, channels):
    random = np.random.RandomState(0)
    coarse = random.randint(0, 256, (batch_size, channels, 9, 13), np.uint8)
    planes = [[Image.fromarray(plane).resize((width, height)) for plane in image] for image in coarse]
    return np.stack([np.stack([np.asarray(plane) for plane in image], axis=-1) for image in planes])


def make_inputs(function, batch_size):
    target = make_images(batch_size, HEIGHT, WIDTH, 3)
    if function == "depth":
        return {"images": target}
    return {"target": target, "sources": make_images(batch_size, HEIGHT, WIDTH, 3 * (SEQ_LENGTH - 1))}


def assert_equals_learner(learner, function, batch_size, found, bound):
    images = make_inputs(function, batch_size)
    if function == "depth":
        expected = learner.predict_depth(images["images"]).numpy()
        assert expected.std() > 0.3 * expected.mean()
        np.testing.assert_allclose(found["depth"], expected, rtol=bound)
        np.testing.assert_allclose(found["disparity"], 1 / expected, rtol=bound)
    else:
        expected = learner.predict_pose(**images).numpy()
        assert expected.shape == (batch_size, SEQ_LENGTH - 1, 6)
        np.testing.assert_allclose(found["poses"], expected, rtol=0, atol=bound * np.abs(expected).max())
        np.testing.assert_array_equal(found["src_T_tgt"][:, :, :3, 3], found["poses"][:, :, :3])


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("function", ["depth", "pose"])
def test_saved_model_equals_the_learner(learner, signatures, function, batch_size):
    found = signatures[function](**{name: tf.constant(x) for name, x in make_inputs(function, batch_size).items()})
    found = {name: value.numpy() for name, value in found.items()}
    assert_equals_learner(learner, function, batch_size, found, 1e-5)
    if function == "depth":
        np.testing.assert_allclose(found["depth_at_input_size"], found["depth"], rtol=1e-6)


def test_saved_model_takes_images_of_any_size(learner, signatures):
    images = make_images(2, 75, 101, 3)
    depth = signatures["serving_default"](images=tf.constant(images))
    resized = [np.asarray(Image.fromarray(x).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)) for x in images]
    np.testing.assert_allclose(depth["depth"], learner.predict_depth(np.stack(resized)), rtol=0.01)
    assert depth["depth_at_input_size"].shape == (2, 75, 101, 1)
    np.testing.assert_allclose(depth["depth_at_input_size"] * depth["disparity_at_input_size"], 1, rtol=1e-6)
    motion = signatures["pose"](target=tf.constant(images), sources=tf.constant(make_images(2, 75, 101, 12)))
    assert motion["src_T_tgt"].shape == (2, 4, 4, 4)


def test_the_mask_decoder_stays_out(learner, saved_model):
    entries = tf.train.list_variables(str(saved_model / "variables" / "variables"))
    # TensorFlow writes a variable as variables_by_name/depth_net.Scnv1.Sweights/.ATTRIBUTES/VARIABLE_VALUE.
    stored = [name.split("/")[1].replace(".S", "/") for name, _ in entries if "/.ATTRIBUTES/" in name]
    expected = [name for name in learner.release_variables() if not name.startswith("pose_exp_net/exp/")]
    assert sorted(stored) == sorted(expected)
    assert len(stored) == len(learner.release_variables()) - 18  # weights and biases of five upconvolutions, four heads


def test_saved_model_loads_without_this_package(saved_model, tmp_path):
    code = (
        "import sys\n"
        "for name in ('sfmlearner_tf', 'keras', 'tf_keras', 'tensorflow_addons'): sys.modules[name] = None\n"
        "import tensorflow as tf\n"
        f"depth = tf.saved_model.load({str(saved_model)!r}).signatures['depth']\n"
        "print(depth(images=tf.zeros([1, 40, 80, 3], tf.uint8))['depth'].shape)"
    )
    command = [sys.executable, "-I", "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == f"(1, {HEIGHT}, {WIDTH}, 1)", result.stderr


@pytest.mark.parametrize("method", ["lanczos3", "bilinear"])
@pytest.mark.parametrize("size", [(20, 33), (128, 150), (60, 30), (40, 90)])
def test_images_are_resized_as_pillow_does(method, size):
    image = np.random.RandomState(1).randint(0, 256, (40, 90, 3), np.uint8)
    resampling = Image.Resampling.LANCZOS if method == "lanczos3" else Image.Resampling.BILINEAR
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], resampling)).astype(int)
    found = export.resize_as_pillow(tf.constant(image[np.newaxis]), size, method)[0].numpy().astype(int)
    assert np.abs(found - expected).max() <= 1
    # Noise halved or doubled has many values midway between two levels; a photograph has few.
    assert np.mean(found != expected) < 0.1


def test_a_frame_of_kitti_is_resized_as_pillow_does(shared):
    frame = sorted((shared / "data" / "kitti_raw").glob("*/*/image_02/data/*"))[0]
    with Image.open(frame) as image:
        pixels, expected = np.asarray(image), np.asarray(image.resize((416, 128), Image.Resampling.LANCZOS))
    found = export.resize_as_pillow(tf.constant(pixels[np.newaxis]), (128, 416), "lanczos3")[0].numpy()
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert np.mean(difference) < 0.001


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("float16", 2e-2)])
def test_tflite_equals_the_learner(learner, networks, tmp_path, precision, bound):
    exported = export_tflite.write_tflite(networks, str(tmp_path), precision)
    assert [function.file for function in exported] == [f"depth_{precision}.tflite", f"pose_{precision}.tflite"]
    for function in exported:
        assert function.bound == bound
        run = function.load()
        for batch_size in (1, 2):
            found = run(**make_inputs(function.function, batch_size))
            assert_equals_learner(learner, function.function, batch_size, found, bound)


def test_onnx_equals_the_learner(learner, networks, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs the extra `onnx`")
    pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    # The depth network goes the same way, and takes the converter 20 times as long.
    pose_alone = networks._replace(networks={"pose": networks.networks["pose"]})
    (function,) = export_onnx.write_onnx(pose_alone, str(tmp_path))
    run = function.load()
    for batch_size in (1, 2):
        assert_equals_learner(learner, "pose", batch_size, run(**make_inputs("pose", batch_size)), 1e-4)


def test_onnx_says_which_package_is_missing(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "tf2onnx", raising=False)
    with pytest.raises(UserError, match="needs the package tf2onnx: install the extra `onnx`"):
        export_onnx.check_onnx()


def test_check_tells_networks_apart(learner, networks, saved_model, tmp_path):
    exported = {function.function: function for function in export.write_saved_model(networks, str(tmp_path))}
    inputs = export_check.make_inputs(networks, None)
    (pose,) = inputs["pose"]
    assert pose["sources"].shape == (1, HEIGHT, WIDTH, 12)
    assert not np.array_equal(pose["sources"][..., :3], pose["target"])
    for name, function in exported.items():
        check = export_check.check(function, networks, inputs[name], str(tmp_path))
        assert check.difference <= function.bound
        assert check.size > 4 * 31_000_000
        assert check.call_s > 0
    bias = learner.release_variables()["depth_net/disp1/biases"]
    value = bias.numpy()
    bias.assign(value + 0.001)
    assert export_check.check(exported["depth"], networks, inputs["depth"], str(tmp_path)).difference > 1e-5
    bias.assign([np.nan])
    assert np.isnan(export_check.check(exported["depth"], networks, inputs["depth"], str(tmp_path)).difference)
    bias.assign(value)


def test_check_takes_a_picture(networks, tmp_path):
    Image.new("L", (10, 10), 77).save(tmp_path / "grey.png")
    (inputs,) = export_check.make_inputs(networks, str(tmp_path / "grey.png"))["depth"]
    assert inputs["images"].shape == (1, HEIGHT, WIDTH, 3)
    assert np.all(inputs["images"] == 77)
    with pytest.raises(UserError, match=r"none.png: expected an image; No such file"):
        export_check.make_inputs(networks, str(tmp_path / "none.png"))


def test_networks_of_a_checkpoint(learner, networks, tmp_path):
    pose = learner.pose_exp_net.release_variables()
    alone = export.load_exportable(CheckpointFolder(str(tmp_path / "pose"), pose).save_step(1), HEIGHT, WIDTH)
    assert list(alone.networks) == ["pose"]
    inputs = {name: tf.constant(x) for name, x in make_inputs("pose", 1).items()}
    np.testing.assert_array_equal(alone.predict("pose", inputs)["poses"], networks.predict("pose", inputs)["poses"])

    depth = {**learner.disp_net.release_variables(), MIN_DISP: tf.Variable(0.1)}
    alone = export.load_exportable(CheckpointFolder(str(tmp_path / "depth"), depth).save_step(1), HEIGHT, WIDTH)
    assert list(alone.networks) == ["depth"]
    assert alone.networks["depth"].min_disp == pytest.approx(0.1)


def test_unfit_checkpoints_are_refused(learner, tmp_path):
    pose = learner.pose_exp_net.release_variables()
    path = CheckpointFolder(str(tmp_path), pose).save_step(1)
    with pytest.raises(UserError, match="model-1: its pose network sees 5 frames, expected seq_length=5, got 3"):
        export.load_exportable(path, HEIGHT, WIDTH, seq_length=3)
    del pose["pose_exp_net/pose/pred/biases"]
    with pytest.raises(UserError, match="pose_exp_net/pose/pred/biases"):
        export.load_exportable(CheckpointFolder(str(tmp_path), pose).save_step(2), HEIGHT, WIDTH)
    with pytest.raises(UserError, match="found neither"):
        export.load_exportable(CheckpointFolder(str(tmp_path), {"a": tf.Variable(1.0)}).save_step(3), HEIGHT, WIDTH)
    with pytest.raises(UserError, match="not found"):
        export.load_exportable(str(tmp_path / "model-4"), HEIGHT, WIDTH)


def test_only_an_earlier_export_is_replaced(tmp_path):
    out = tmp_path / "a" / "out"
    for name in ("saved_model.pb", "pose_int8.tflite", "depth_float32.tflite"):
        with export.replace_export(str(out)) as folder:
            (tmp_path / "a" / folder / name).write_text("")
        assert sorted(path.name for path in out.iterdir()) == sorted(["SHA256SUMS", name])
    for name in ("notes.txt", "other.tflite", "assets"):
        (out / name).write_text("")
        with pytest.raises(UserError, match=f"holds {name}: expected a new folder"), export.replace_export(str(out)):
            pass
        (out / name).unlink()
    (out / "notes.txt").write_text("")
    with pytest.raises(UserError, match="is a file, expected a folder"), export.replace_export(str(out / "notes.txt")):
        pass
    with pytest.raises(UserError, match="cannot write"), export.replace_export(str(out / "notes.txt" / "b")):
        pass
    assert sorted(path.name for path in out.iterdir()) == ["SHA256SUMS", "depth_float32.tflite", "notes.txt"]


def test_a_second_export_to_the_same_folder_is_refused(tmp_path):
    with export.replace_export(str(tmp_path / "out")) as folder:
        with pytest.raises(UserError, match="another process works in this folder"):
            export.replace_export(str(tmp_path / "out")).__enter__()
        with export.replace_export(str(tmp_path / "other")):
            pass
        (tmp_path / folder / "pose.onnx").touch()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["SHA256SUMS", "pose.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_a_name_that_tensorflow_cannot_write_is_refused_at_the_start(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    with pytest.raises(UserError, match="expected a name in UTF-8"), export.replace_export(name):
        pytest.fail("began")
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_export_leaves_the_earlier_one(tmp_path):
    out = tmp_path / "out"

    def export_and_stop(content, error):
        with export.replace_export(str(out)) as folder:
            (tmp_path / folder / "depth.onnx").write_text(content)
            raise error

    with export.replace_export(str(out)) as folder:
        (tmp_path / folder / "depth.onnx").write_text("earlier")
    with pytest.raises(KeyboardInterrupt):
        export_and_stop("half", KeyboardInterrupt)
    with pytest.raises(UserError, match=r"cannot write .*: disk full"):
        export_and_stop("half", OSError("disk full"))
    assert (out / "depth.onnx").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
