import builtins
import os

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.own_recordings import list_videos
from sfmlearner_tf.data.sequences import Intrinsics, Selection
from sfmlearner_tf.data.video import read_video, read_video_times
from sfmlearner_tf.errors import UserError

WIDTH, HEIGHT, COUNT = 64, 48, 12


def calibrate(width, height):
    assert (width, height) == (WIDTH, HEIGHT)
    return Intrinsics(60, 60, width / 2, height / 2)


def picture(index):
    noise = np.random.RandomState(index).randint(0, 20, (HEIGHT, WIDTH, 3))
    return (20 * index + noise).astype(np.uint8)


def write_video(path, **options):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    writer = ffmpeg.write_frames(str(path), (WIDTH, HEIGHT), fps=10, **options)
    writer.send(None)
    for index in range(COUNT):
        writer.send(picture(index))
    writer.close()
    return path


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "my drive.avi", codec="mjpeg", pix_fmt_out="yuvj420p")


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


def test_a_film_of_ten_bits_is_read_as_one_of_eight(tmp_path):
    """As phones record."""
    path = write_video(tmp_path / "phone.mp4", codec="libx264", pix_fmt_out="yuv420p10le")
    (sequence,) = list_videos(str(path), Selection(), calibrate).sequences
    notes = []
    means = [np.asarray(image).mean() for image in read_video(sequence.frames, notes)]
    np.testing.assert_allclose(means, [20 * index + 9.5 for index in range(COUNT)], atol=3)
    assert notes == []


def test_times_of_frames_that_are_not_stored_in_order(tmp_path):
    # An avi tells only when to decode each, an mp4 also when to show it.
    for name in ("a.mp4", "a.avi"):
        times_s, complaint = read_video_times(str(write_video(tmp_path / name, codec="libx264")))
        assert complaint == ""
        np.testing.assert_allclose(times_s, np.arange(COUNT) / 10, atol=1e-3)


def test_a_folder_of_videos_is_listed_in_order(video):
    video.with_name("another.avi").write_bytes(video.read_bytes())
    listing = list_videos(str(video.parent), Selection(), calibrate, step=3)
    assert [sequence.folder for sequence in listing.sequences] == ["another.avi", "my_drive.avi"]
    assert [frame.video_index for frame in listing.sequences[0].frames] == [0, 3, 6, 9]


def test_two_videos_never_share_a_folder(video):
    video.with_name("my_drive.avi").write_bytes(video.read_bytes())
    with pytest.raises(UserError, match=r"my_drive\.avi and .*my drive\.avi: expected names that differ"):
        list_videos(str(video.parent), Selection(), calibrate)


def test_a_video_whose_name_is_no_utf_8_gets_a_folder_that_a_list_can_hold(video):
    odd = os.fsencode(video.parent) + b"/dri\xffve.avi"
    os.rename(video, odd)
    (sequence,) = list_videos(str(video.parent), Selection(), calibrate).sequences
    assert sequence.folder == "dri_ve.avi"
    assert len(list(read_video(sequence.frames, []))) == COUNT


def test_frames_too_large_to_decode_are_named(video, monkeypatch):
    (sequence,) = list_videos(str(video), Selection(), calibrate).sequences
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT - 1)
    notes = []
    assert list(read_video(sequence.frames, notes)) == [None] * COUNT
    assert f"{video}: {WIDTH}x{HEIGHT} pixels" in [note.what for note in notes]
    (note,) = list_videos(str(video), Selection(), calibrate).notes
    assert note.lost


def test_a_pipe_among_videos_is_named_not_waited_for(video):
    os.mkfifo(video.with_name("pipe.mp4"))
    listing = list_videos(str(video.parent), Selection(), calibrate)
    assert [sequence.folder for sequence in listing.sequences] == ["my_drive.avi"]
    assert [note.what for note in listing.notes] == [f"{video.with_name('pipe.mp4')}: this is no regular file"]


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
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match=r"pip install 'sfmlearner_tf\[video\]'"):
        list_videos(str(tmp_path / "a.mp4"), Selection(), calibrate)
