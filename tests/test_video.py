import builtins

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.sequences import Intrinsics, Selection
from sfmlearner_tf.data.video import list_images, list_videos, read_video, read_video_times
from sfmlearner_tf.errors import UserError

WIDTH, HEIGHT, COUNT = 64, 48, 12


def calibrate(width, height):
    assert (width, height) == (WIDTH, HEIGHT)
    return Intrinsics(60, 60, width / 2, height / 2)


def picture(index):
    noise = np.random.RandomState(index).randint(0, 20, (HEIGHT, WIDTH, 3))
    return (20 * index + noise).astype(np.uint8)


@pytest.fixture
def video(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    path = tmp_path / "my drive.avi"
    writer = ffmpeg.write_frames(str(path), (WIDTH, HEIGHT), codec="mjpeg", fps=10, pix_fmt_out="yuvj420p")
    writer.send(None)
    for index in range(COUNT):
        writer.send(picture(index))
    writer.close()
    return path


def test_images_are_taken_in_natural_order(tmp_path):
    for name in ("10.png", "2.png", "1.PNG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
        if name != "notes.txt":
            Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name, "PNG")
    (sequence,) = list_images(str(tmp_path), Selection(), calibrate).sequences
    assert [frame.path.rsplit("/", 1)[1] for frame in sequence.frames] == ["1.PNG", "2.png", "10.png"]
    assert [frame.name for frame in sequence.frames] == ["0000000000", "0000000001", "0000000002"]
    assert sequence.folder == tmp_path.name
    assert sequence.intrinsics.cx == WIDTH / 2


def test_every_second_frame_and_no_static_one(tmp_path):
    for index in range(9):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{index}.png")
    listing = list_images(str(tmp_path), Selection({tmp_path.name: [3, 4]}), calibrate, step=2)
    assert [[int(frame.name) for frame in s.frames] for s in listing.sequences] == [[0, 2], [6, 8]]


def test_a_folder_without_images_yields_nothing(tmp_path):
    assert list_images(str(tmp_path), Selection(), calibrate).sequences == []


def test_a_video_is_decoded_frame_by_frame(video):
    listing = list_videos(str(video), Selection(), calibrate)
    assert listing.notes == []
    (sequence,) = listing.sequences
    assert (sequence.folder, len(sequence.frames)) == ("my_drive.avi", COUNT)
    notes = []
    means = [np.asarray(image).mean() for image in read_video(sequence.frames, notes)]
    np.testing.assert_allclose(means, [20 * index + 9.5 for index in range(COUNT)], atol=3)
    chosen = sequence.frames[3:9:2]
    means = [np.asarray(image).mean() for image in read_video(chosen, notes)]
    np.testing.assert_allclose(means, [69.5, 109.5, 149.5], atol=3)
    assert notes == []


def test_times_of_frames_that_are_not_stored_in_order(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    # An avi tells only when to decode each, an mp4 also when to show it.
    for name in ("a.mp4", "a.avi"):
        writer = ffmpeg.write_frames(str(tmp_path / name), (WIDTH, HEIGHT), codec="libx264", fps=10)
        writer.send(None)
        for index in range(COUNT):
            writer.send(picture(index))
        writer.close()
        times_s, complaint = read_video_times(str(tmp_path / name))
        assert complaint == ""
        np.testing.assert_allclose(times_s, np.arange(COUNT) / 10, atol=1e-3)


def test_a_folder_of_videos_is_listed_in_order(video):
    video.with_name("another.avi").write_bytes(video.read_bytes())
    listing = list_videos(str(video.parent), Selection(), calibrate, step=3)
    assert [sequence.folder for sequence in listing.sequences] == ["another.avi", "my_drive.avi"]
    assert [frame.video_index for frame in listing.sequences[0].frames] == [0, 3, 6, 9]


def test_a_video_cut_short_is_named(video):
    (sequence,) = list_videos(str(video), Selection(), calibrate).sequences
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 9 // 10])
    notes = []
    pictures = list(read_video(sequence.frames, notes))
    assert len(pictures) == COUNT
    assert pictures[0] is not None
    assert pictures[-1] is None
    assert any(note.kind == "frames missing at a video's end" and note.lost for note in notes)


def test_a_file_that_is_no_video_is_named(video):
    video.write_bytes(b"no video at all")
    listing = list_videos(str(video), Selection(), calibrate)
    assert listing.sequences == []
    assert [(note.kind, note.lost) for note in listing.notes] == [("damaged video", True)]
    assert str(video) in listing.notes[0].what


def test_without_imageio_ffmpeg_one_line_says_what_to_install(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def no_ffmpeg(name, *arguments, **options):
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_ffmpeg)
    with pytest.raises(UserError, match=r"pip install 'sfmlearner_tf\[video\]'"):
        list_videos(str(tmp_path / "a.mp4"), Selection(), calibrate)
