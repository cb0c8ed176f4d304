import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forked import run_forked
from kitti_tree import P_RECT, write_images
from odd_pictures import write_png_header
from prepare_command import prepare
from sfmlearner_tf.data.formatted import Example, read_intrinsics


def test_kitti_odom(tmp_path):
    folder = tmp_path / "data" / "sequences" / "03"
    write_images(folder / "image_2", range(6), digits=6)
    (folder / "calib.txt").write_text(f"P2: {P_RECT}\n")
    result = prepare(tmp_path / "data", tmp_path / "out", dataset_name="kitti_odom", seq_length=5)
    assert result.returncode == 0, result.stderr
    whole = 20409 - 9 * (5 - 1)
    missing = f"missing sequence: 8, missing frames: {801 - 6}"
    assert f"kitti_odom: not complete ({missing}); all of it has {whole} examples" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out" / "03").glob("*.jpg")) == ["000002.jpg", "000003.jpg"]


def test_the_real_snippet_of_cityscapes(shared, tmp_path):
    size = ("--img_height=171", "--img_width=416")
    result = prepare(shared / "data" / "cityscapes", tmp_path, *size, dataset_name="cityscapes")
    assert result.returncode == 0, result.stderr
    assert "30 frames decoded" in result.stdout
    assert "26 examples" in result.stdout
    example = Example("aachen", "aachen_000000_000010")
    with Image.open(example.image_path(str(tmp_path))) as strip:
        assert strip.size == (3 * 416, 128)
        middle = np.asarray(strip)[:, 416:832].astype(float)
    source = shared / "data/cityscapes/leftImg8bit_sequence/train/aachen/aachen_000000_000010_leftImg8bit.png"
    with Image.open(source) as image:
        plain = np.asarray(image.resize((416, 171), Image.Resampling.BILINEAR))[:128]
    assert np.abs(middle - plain).mean() < 3
    zoom_x, zoom_y = 416 / 2048, 171 / 1024
    np.testing.assert_allclose(
        read_intrinsics(example.camera_path(str(tmp_path))),
        [[2262.52 * zoom_x, 0, 1096.98 * zoom_x], [0, 2265.3017906 * zoom_y, 513.137 * zoom_y], [0, 0, 1]],
        rtol=1e-6,
    )


def test_images_with_crop_and_step(tmp_path):
    write_images(tmp_path / "my walk", range(8), digits=1)
    options = ("--intrinsics=72,71,60,17", "--crop=20,2,96,32", "--frame_step=2")
    result = prepare(tmp_path / "my walk", tmp_path / "out", *options, dataset_name="images")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "my_walk" / "0000000002_cam.txt").read_text() == (
        "36.000000,0.,20.000000,0.,71.000000,15.000000,0.,0.,1."
    )
    with Image.open(tmp_path / "my walk" / "4.png") as image:
        plain = np.asarray(image.crop((20, 2, 116, 34)).resize((48, 32), Image.Resampling.BILINEAR)).astype(float)
    with Image.open(tmp_path / "out" / "my_walk" / "0000000004.jpg") as strip:
        assert abs(np.asarray(strip)[:, 48:96].mean() - plain.mean()) < 1


def test_pictures_that_cannot_be_read_cost_only_their_own_examples_whatever_the_folders_are_called(tmp_path):
    folder, out = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/my \xff walk", b"/out \xff"))
    write_images(folder, range(1, 10), digits=1)
    write_png_header(folder / "0.png", 13_000, 13_000)
    (folder / "5.png").unlink()
    os.mkfifo(folder / "5.png")
    result = prepare(folder, out, "--intrinsics=72,71,60,17", dataset_name="images")
    assert result.returncode == 1
    assert result.stderr.startswith("error: damaged frame: 2, 4 of 8 examples lost")
    assert len(result.stderr.splitlines()) == 1
    listed = (out / "train.txt").read_text() + (out / "val.txt").read_text()
    assert sorted(listed.splitlines()) == [f"my___walk {number:010d}" for number in (2, 3, 7, 8)]


def test_an_unknown_camera_is_for_training_that_learns_it(tmp_path):
    folder, out = tmp_path / "walk", tmp_path / "out"
    write_images(folder, range(1, 6), digits=1)
    result = prepare(folder, out, "--intrinsics=unknown", dataset_name="images")
    assert result.returncode == 0, result.stderr
    assert json.loads((out / "prepared_with.json").read_text())["intrinsics"] == "unknown"
    # From 124x38 to 48x32.
    assert f"square pixels have fy/fx = {(32 / 38) / (48 / 124):.4g} here" in result.stdout
    # A stand-in: the width as focal length, at the size of the strips.
    camera = read_intrinsics(str(next(out.rglob("*_cam.txt"))))
    np.testing.assert_allclose([camera[0, 0], camera[0, 2], camera[1, 2]], [48, 24, 16])
    run = run_forked("-m", "sfmlearner_tf.train", f"--dataset_dir={out}", f"--checkpoint_dir={tmp_path / 'run'}")
    expected = f"expected true with data prepared with intrinsics=unknown, {out}"
    message = f"error: learn_intrinsics: {expected}, found false\n"
    assert (run.returncode, run.stderr[-len(message) :]) == (1, message)
    known = prepare(folder, out, "--intrinsics=72,71,60,17", dataset_name="images")
    assert "intrinsics: expected 'unknown', with which" in known.stderr


def test_a_video_twice_and_cut_short(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    video = tmp_path / "walk.avi"
    writer = ffmpeg.write_frames(str(video), (64, 48), codec="mjpeg", fps=10, pix_fmt_out="yuvj420p")
    writer.send(None)
    for index in range(20):
        writer.send(np.random.RandomState(index).randint(0, 255, (48, 64, 3)).astype(np.uint8))
    writer.close()
    result = prepare(video, tmp_path / "out", "--horizontal_fov_deg=70", dataset_name="video")
    assert result.returncode == 0, result.stderr
    assert "20 frames decoded\n18 examples" in result.stdout
    again = prepare(video, tmp_path / "out", "--horizontal_fov_deg=70", dataset_name="video")
    assert "0 frames decoded\n18 examples" in again.stdout
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 7 // 10])
    cut = prepare(video, tmp_path / "cut", "--horizontal_fov_deg=70", dataset_name="video")
    assert cut.returncode == 1
    assert f"video decoded with errors: 1\n    {video}: " in cut.stdout
    assert len(cut.stderr.splitlines()) == 1
    assert len(list((tmp_path / "cut" / "walk.avi").glob("*.jpg"))) > 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected one of --intrinsics, --calibration_file, --horizontal_fov_deg, found none"),
        (["--intrinsics=72,71,60,17", "--horizontal_fov_deg=70"], "found --intrinsics and --horizontal_fov_deg"),
        (["--intrinsics=72,71,60"], "intrinsics: expected four numbers"),
        (["--intrinsics=1242,71,60,17"], "expected a horizontal field of view of 15 to 150 degrees, found 5.7"),
        (["--intrinsics=60,17,72,71"], "expected the principal point inside the frames' 124x38 pixels"),
        (["--calibration_file=/nowhere"], "/nowhere: expected a calibration file of KITTI or COLMAP; No such"),
        (["--intrinsics=72,71,60,17", "--crop=1,2,3"], "--crop: expected left,top,width,height"),
        (["--intrinsics=72,71,60,17", "--frame_step=0"], "frame_step"),
        (["--intrinsics=72,71,60,17", "--shard=3/2"], "--shard: expected i/n with i from 1 to n, found '3/2'"),
        (["--intrinsics=72,71,60,17", "--static_frames_file=/nowhere"], "/nowhere: expected a list of static"),
        (
            ["--dataset_name=kitti_raw", "--crop=0,0,60,30"],
            "--crop: expected --dataset_name=video or",
        ),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, options, message):
    write_images(tmp_path / "images", range(3))
    result = prepare(tmp_path / "images", tmp_path / "out", *options, dataset_name="images")
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_crop_larger_than_the_frames_is_named(tmp_path):
    write_images(tmp_path / "images", range(3))
    options = ("--intrinsics=72,71,60,17", "--crop=40,0,100,38")
    result = prepare(tmp_path / "images", tmp_path / "out", *options, dataset_name="images")
    assert result.returncode == 1
    assert "124x38 pixels are too few for the crop (40, 0, 100, 38)" in result.stdout
