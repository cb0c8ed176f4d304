"""Depth and trajectories of a user's own pictures, by the command."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forked import ASKS_FOR_MEMORY_FIRST, ForkedCommand, run_forked
from kitti_eval.pose_files import read_tum
from kitti_eval.resize import resize_bilinear
from kitti_eval.trajectory import predicted_vectors_to_poses
from sfmlearner_tf import prediction, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.data.video import read_video, read_video_times
from sfmlearner_tf.export import export_saved_model
from sfmlearner_tf.learner import SfMLearner
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet
from sfmlearner_tf.tools.predict_output import colour_disparity, compose, find_range
from tiny_saved_model import write_tiny_saved_model

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 32, 64
SIZE = (f"--img_height={HEIGHT}", f"--img_width={WIDTH}")


@pytest.fixture(scope="module")
def learner():
    return SfMLearner(TrainConfig(img_height=HEIGHT, img_width=WIDTH, batch_size=1))


@pytest.fixture(scope="module")
def ckpt_file(learner, tmp_path_factory):
    return CheckpointFolder(str(tmp_path_factory.mktemp("checkpoints")), learner.state()).save_step(7)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    return write_tiny_saved_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def images(tmp_path):
    """Five images of two sizes and three modes."""
    folder = tmp_path / "walk"
    folder.mkdir()
    random = np.random.RandomState(0)
    modes = ["RGB", "L", "RGBA", "RGB", "RGB"]
    for index, mode in enumerate(modes):
        pixels = random.randint(0, 256, (50 + 10 * (index > 2), 90, 3)).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{index}.png")
    return folder


def command(*flags):
    return [sys.executable, str(ROOT / "tools" / "predict.py"), *map(str, flags)]


def predict(*flags):
    return run_forked(*command(*flags)[1:])


def error_of(*flags):
    """The one line that a failing command prints."""
    result = predict(*flags)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def library_disparities(predictor, paths):
    """Disparities at the sizes of images, by the library."""
    sizes = [Image.open(path).size for path in paths]
    depths = prediction.predict_depths(predictor, paths, 8)
    return [resize_bilinear(1 / depth, height, width) for depth, (width, height) in zip(depths, sizes)]


def library_poses(ckpt_file, paths, height, width, scale):
    """The poses of as many images as the pose network sees, by the library."""
    (vectors,) = prediction.predict_motions(prediction.load_pose_predictor(ckpt_file, height, width), paths, 1)
    return predicted_vectors_to_poses(vectors * [scale, scale, scale, 1, 1, 1])


def test_a_folder_of_all_kinds_with_a_damaged_one(tiny_model, images, tmp_path):
    (images / "2b.png").write_bytes((images / "2.png").read_bytes()[:200])
    out = tmp_path / "out"
    flags = (f"--input={images}", f"--output_dir={out}", f"--saved_model={tiny_model}", "--output=png,npy")
    (images / "9.png").write_bytes(b"none")
    done = predict(*flags)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: 5 of 7 frames could be read and are done; damaged image: ")
    for name in ("2b", "9"):
        assert f"damaged image: {images}/{name}.png: expected an image" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{index}_depth.{ending}" for index in range(5) for ending in ("npy", "png")
    )
    paths = [images / f"{index}.png" for index in range(5)]
    for path, disparity in zip(paths, library_disparities(prediction.SavedModel(tiny_model).depth(), paths)):
        depth = np.load(out / f"{path.stem}_depth.npy", allow_pickle=False)
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, 1 / disparity, rtol=1e-5)
        with Image.open(path) as image, Image.open(out / f"{path.stem}_depth.png") as picture:
            pixels = compose(image.convert("RGB"), colour_disparity(disparity, find_range([disparity])), "above")
            assert np.abs(np.asarray(picture).astype(int) - pixels).mean() < 0.1


def test_a_saved_model_agrees_with_the_checkpoint(learner, ckpt_file, images, tmp_path):
    export_saved_model(learner, str(tmp_path / "saved_model"))
    out = tmp_path / "out"
    flags = (f"--input={images}/[0-2].png", f"--saved_model={tmp_path / 'saved_model'}", f"--output_dir={out}")
    # So far that the untrained network's tiny steps show in the six decimals of the trajectory.
    flags += ("--poses", "--batch_size=2", "--scale=1e4")
    result = predict(*flags, "--output=png,npy", "--color_range=fixed", "--layout=depth")
    assert result.returncode == 0, result.stderr
    assert re.search(r"3 of 3 frames, [\d.]+ frames/s; depth and translation are in metres", result.stdout)
    paths = [images / f"{index}.png" for index in range(3)]
    predictor = prediction.load_depth_predictor(ckpt_file, HEIGHT, WIDTH)
    disparities = library_disparities(predictor, paths)
    ends = find_range(1 / depth for depth in prediction.predict_depths(predictor, paths, 8))
    for path, disparity in zip(paths, disparities):
        depth = np.load(out / f"{path.stem}_depth.npy", allow_pickle=False)
        np.testing.assert_allclose(depth, 1e4 / disparity, rtol=1e-5)
        with Image.open(out / f"{path.stem}_depth.png") as picture:
            assert np.abs(np.asarray(picture).astype(int) - colour_disparity(disparity, ends)).mean() < 0.1
    poses, times_s = read_tum(out / "images_trajectory.txt")
    np.testing.assert_array_equal(times_s, range(3))
    expected = library_poses(ckpt_file, paths, HEIGHT, WIDTH, scale=1e4)
    np.testing.assert_allclose(poses, expected, atol=1e-4 * np.abs(expected[:, :3, 3]).max())


def test_a_checkpoint_is_shown_images_of_the_size_of_its_training(learner, images, tmp_path):
    ckpt_file = CheckpointFolder(str(tmp_path / "run"), learner.disp_net.release_variables()).save_step(7)
    run_config.write(TrainConfig(img_height=64, img_width=96), str(tmp_path / "run"))
    picture, out = images / "0.png", tmp_path / "out"
    done = predict(f"--input={picture}", f"--ckpt_file={ckpt_file}", f"--output_dir={out}", "--output=npy")
    assert done.returncode == 0, done.stderr
    depth = np.load(out / "0_depth.npy", allow_pickle=False)
    (disparity,), (other,) = (
        library_disparities(prediction.load_depth_predictor(ckpt_file, *size), [picture])
        for size in ((64, 96), (HEIGHT, WIDTH))
    )
    np.testing.assert_allclose(depth, 1 / disparity, rtol=1e-5)
    assert np.abs(depth * other - 1).max() > 1e-3


def test_the_trajectory_is_chained_from_as_many_frames_as_the_network_sees(images, tmp_path):
    ckpt_file = CheckpointFolder(str(tmp_path / "run"), PoseExpNet(num_sources=4).release_variables()).save_step(7)
    flags = (
        f"--ckpt_file={ckpt_file}",
        f"--output_dir={tmp_path / 'out'}",
        "--output=",
        "--poses",
        "--scale=1e4",
        *SIZE,
    )
    done = predict(f"--input={images}", *flags)
    assert done.returncode == 0, done.stderr
    poses = read_tum(tmp_path / "out" / "walk_trajectory.txt").poses
    expected = library_poses(ckpt_file, sorted(images.iterdir()), HEIGHT, WIDTH, scale=1e4)
    np.testing.assert_allclose(poses, expected, atol=1e-4 * np.abs(expected[:, :3, 3]).max())
    few = error_of(f"--input={images}/[0-3].png", *flags)
    assert few == f"error: --poses: expected at least 5 frames, as the pose network sees, found 4 in {images}/[0-3].png"


def test_a_video_made_metric_by_measured_depths(tiny_model, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    video, out = tmp_path / "drive.avi", tmp_path / "out"
    writer = ffmpeg.write_frames(str(video), (96, 64), codec="mjpeg", fps=10, pix_fmt_out="yuvj420p")
    writer.send(None)
    for index in range(7):
        writer.send(np.random.RandomState(index).randint(0, 256, (64, 96, 3)).astype(np.uint8))
    writer.close()
    flags = (f"--input={video}", f"--output_dir={out}", f"--saved_model={tiny_model}", "--layout=beside")
    frames = tuple(Frame(str(index), str(video), index) for index in range(7))
    for frame, picture in zip(frames, read_video(frames, [])):
        picture.save(tmp_path / f"{frame.name}.png")
    decoded = [tmp_path / f"{index}.png" for index in range(7)]
    plain = [1 / each for each in library_disparities(prediction.SavedModel(tiny_model).depth(), decoded)]
    # Three of five points say 8; what the others say does not matter.
    (tmp_path / "depths.csv").write_text(
        "image,u,v,depth_m\n"
        + "".join(f"{frame},{u},{v},{factor * plain[frame][v, u]}\n" for frame, u, v, factor in (
            (1, 5, 60, 8), (1, 90, 3, 100), (4, 50, 20, 8), (4, 0, 0, 8), (6, 95, 63, 0.1)
        ))
    )  # fmt: skip
    result = predict(*flags, "--output=mp4,npy", "--poses", f"--scale_from_sparse={tmp_path / 'depths.csv'}")
    assert result.returncode == 0, result.stderr
    assert "scale 8: the median of 5 points, half of them within 8 to 8" in result.stdout
    assert re.search(r"7 of 7 frames, [\d.]+ frames/s; depth and translation are in metres", result.stdout)
    metric = [np.load(path, allow_pickle=False) for path in sorted(out.glob("drive_*_depth.npy"))]
    np.testing.assert_allclose(metric, 8 * np.array(plain), rtol=1e-5)
    for times_s in (read_tum(out / "drive_trajectory.txt").times_s, read_video_times(str(out / "drive_depth.mp4"))[0]):
        np.testing.assert_allclose(times_s, np.arange(7) / 10, atol=1e-4)
    assert sorted(path.name for path in out.glob("*"))[7:] == ["drive_depth.mp4", "drive_trajectory.txt"]
    # The frames of the video are in order: the image, on the left, is each time most like its own.
    own = np.stack([np.asarray(Image.open(path), np.float32) for path in decoded])
    made = read_video(tuple(frame._replace(path=str(out / "drive_depth.mp4")) for frame in frames), [])
    lefts = [np.asarray(each, np.float32)[:64, :96] for each in made]
    assert [np.abs(own - left).mean(axis=(1, 2, 3)).argmin() for left in lefts] == list(range(7))


def test_ctrl_c_keeps_what_is_done(tiny_model, images, tmp_path):
    for index in range(10, 3000):
        (images / f"{index}.png").symlink_to(images / "0.png")
    (images / "3.png").unlink()
    (images / "4.png").unlink()
    out = tmp_path / "out"
    flags = (f"--input={images}", f"--output_dir={out}", f"--saved_model={tiny_model}", "--output=png,npy,mp4")
    process = ForkedCommand(*command(*flags)[1:])
    while process.poll() is None and not (out / "20_depth.png").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "stopped by Ctrl-C"
    names = sorted(path.name for path in out.iterdir())
    assert {name.rsplit("_", 1)[1] for name in names} == {"depth.png", "depth.npy"}
    assert 14 <= len(names) // 2 < 2000
    for path in out.glob("*.png"):
        Image.open(path).load()


def test_memory_of_the_gpu_is_left_to_others_and_any_name_has_its_prediction(tiny_model, images, tmp_path):
    """It is asked for before TensorFlow computes anything; later would be an error."""
    code = ASKS_FOR_MEMORY_FIRST.format(tool="predict")
    flags = (f"--input={images}", f"--output_dir={tmp_path / 'out'}", f"--saved_model={tiny_model}", "--output=npy")
    (images / "0.png").rename(os.fsdecode(os.fsencode(images) + b"/\xff\xfe.png"))
    done = run_forked("-c", code, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("asked for\n")
    names = sorted(os.listdir(os.fsencode(tmp_path / "out")))
    assert names == [*(b"%d_depth.npy" % index for index in range(1, 5)), b"\xff\xfe_depth.npy"]


def test_mistakes_are_told_in_one_line(ckpt_file, tiny_model, images, tmp_path):
    flags = (f"--input={images}", f"--output_dir={tmp_path / 'out'}", f"--ckpt_file={ckpt_file}")
    assert error_of(*flags[:2]) == "error: expected one of --ckpt_file and --saved_model, found none"
    for flag, told in (
        ("--output=jpg", "--output: expected any of png, npy, mp4, ply, normals, edges, found 'jpg'"),
        ("--seq_length=4", "--seq_length=4: expected an odd number"),
        ("--scale=nan", "--scale"),
        ("--scale=inf", "--scale"),
        ("--camera_height_m=nan --intrinsics=60,60,32,16", "--camera_height_m"),
        ("--camera_height_m=2 --scale=3", "--scale and --camera_height_m, found both"),
        ("--camera_height_m=2", "--camera_height_m: expected --intrinsics=fx,fy,cx,cy"),
        ("--refine_steps=2", "--refine_steps: expected --intrinsics=fx,fy,cx,cy"),
        ("--fps=nan", "--fps"),
        ("--img_height=100000000", "--img_height"),
        ("--batch_size=100000000", "--batch_size"),
    ):
        assert told in error_of(*flags, *flag.split())
    assert "found --saved_model" in error_of(*flags[:2], f"--saved_model={tiny_model}", "--refine_steps=2")
    here = error_of(flags[0], flags[2], f"--output_dir={images}")
    assert here == f"error: --output_dir={images}: expected a folder other than that of the images"
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    assert "3.png: expected 90x50 pixels like the images before, found 90x60" in error_of(*flags, "--output=mp4")
    assert not (tmp_path / "out").exists()


def test_refined_depth_is_of_the_same_frames(ckpt_file, images, tmp_path):
    flags = (f"--input={images}", f"--ckpt_file={ckpt_file}", "--output=npy", *SIZE)
    camera = "--intrinsics=80,80,45,25"
    for name, further in (("plain", ()), ("refined", ("--refine_steps=2", camera))):
        done = predict(*flags, f"--output_dir={tmp_path / name}", *further)
        assert done.returncode == 0, done.stderr
        assert "5 of 5 frames" in done.stdout
    for path in (tmp_path / "plain").iterdir():
        plain, refined = np.load(path), np.load(tmp_path / "refined" / path.name)
        assert plain.shape == refined.shape
        assert 1e-4 < np.abs(refined / plain - 1).max() < 0.5


def test_point_clouds_of_a_clip(ckpt_file, images, tmp_path):
    """Each image's, and all of them moved to where the camera was; without edges or what is far."""
    out = tmp_path / "out"
    flags = (f"--input={images}", f"--ckpt_file={ckpt_file}", f"--output_dir={out}", *SIZE)
    done = predict(*flags, "--output=ply")
    assert done.returncode == 1
    assert "error: ply: expected --intrinsics=fx,fy,cx,cy, or a checkpoint whose run learned them" in done.stderr
    assert not out.exists()
    done = predict(*flags, "--output=ply", "--intrinsics=80,80,45,25", "--poses")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in out.iterdir())
    clouds = [name for name in names if name.endswith("_cloud.ply")]
    assert len(clouds) == 5
    assert set(names) - set(clouds) == {"walk_clip.ply", "walk_trajectory.txt"}
    counts = [int((out / name).read_bytes().split(b"element vertex ")[1].split()[0]) for name in clouds]
    clip = int((out / "walk_clip.ply").read_bytes().split(b"element vertex ")[1].split()[0])
    assert clip == sum(counts) > 0
