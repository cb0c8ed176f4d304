from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.data.video import read_video, read_video_times
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_output import colour_disparity, compose, find_range, open_video, write_array, write_png

HEIGHT, WIDTH = 47, 63


def test_near_is_bright_and_stray_pixels_decide_nothing():
    disparity = np.tile(np.linspace(1, 2, 100), (100, 1))
    disparity[0, :50] = 1000
    low, high = find_range([disparity, disparity[:10]])
    assert 1 < low < 1.05
    assert 1.95 < high < 2
    brightness = colour_disparity(disparity, (low, high)).astype(int).sum(axis=-1)
    assert (np.diff(brightness[1]) >= 0).all()
    assert brightness[1, 0] < 50
    assert brightness[0, 0] == brightness[1, -1] > 600


def test_a_flat_disparity_has_one_colour():
    coloured = colour_disparity(np.ones([2, 3]), find_range([np.ones([2, 3])]))
    assert (coloured == coloured[0, 0]).all()


def test_layouts():
    image, coloured = Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3)), np.full([HEIGHT, WIDTH, 3], 9, np.uint8)
    above, beside = (compose(image, coloured, layout) for layout in ("above", "beside"))
    assert above.shape == (2 * HEIGHT, WIDTH, 3)
    assert beside.shape == (HEIGHT, 2 * WIDTH, 3)
    np.testing.assert_array_equal(above[[0, -1], 0], [[1, 2, 3], [9, 9, 9]])
    np.testing.assert_array_equal(beside[0, [0, -1]], [[1, 2, 3], [9, 9, 9]])
    np.testing.assert_array_equal(compose(image, coloured, "depth"), coloured)


def test_pictures_and_arrays_come_back(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    write_png(tmp_path / "a.png", pixels)
    write_array(tmp_path / "a.npy", pixels[..., 0] / np.float32(3))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    found = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, pixels[..., 0] / np.float32(3))
    with pytest.raises(UserError, match=r"a\.png/b\.npy: cannot write the prediction"):
        write_array(tmp_path / "a.png" / "b.npy", found)


def test_a_video_of_odd_size_is_whole_or_not_there(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    path = tmp_path / "a.mp4"

    def write(path, levels):
        with open_video(path, frames_per_second=12.5) as add:
            for level in levels:
                add(np.full([HEIGHT, WIDTH, 3], level, np.uint8))
                if level == 255:
                    raise KeyboardInterrupt

    write(path, range(20, 200, 20))
    times_s, complaint = read_video_times(str(path))
    assert complaint == ""
    np.testing.assert_allclose(times_s, np.arange(9) / 12.5, atol=1e-4)
    frames = tuple(Frame("", str(path), index) for index in range(9))
    pictures = [np.asarray(picture) for picture in read_video(frames, [])]
    assert pictures[0].shape == (HEIGHT + 1, WIDTH + 1, 3)
    np.testing.assert_allclose([p[: HEIGHT - 4, : WIDTH - 4].mean() for p in pictures], range(20, 200, 20), atol=3)
    whole = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write(path, [20, 255])
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    write(link, [20, 30])
    assert link.is_symlink()
    assert len(read_video_times(str(path))[0]) == 2
    with pytest.raises(UserError, match=r"a\.mp4/b\.mp4: cannot write the video; File exists"):
        write(path / "b.mp4", [20])


def test_a_second_writer_of_a_video_waits_for_the_first(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    path = tmp_path / "a.mp4"

    def write(level, count):
        with open_video(path, frames_per_second=10) as add:
            for _ in range(count):
                add(np.full([HEIGHT, WIDTH, 3], level, np.uint8))
                started.set()

    started = threading.Event()
    first = threading.Thread(target=write, args=[20, 300])
    first.start()
    started.wait()
    write(200, 3)
    first.join()
    frames = tuple(Frame("", str(path), index) for index in range(3))
    assert len(read_video_times(str(path))[0]) == 3
    assert [np.asarray(picture).mean() > 150 for picture in read_video(frames, [])] == [True] * 3
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
