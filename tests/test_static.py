import numpy as np
import pytest
from PIL import Image

from kitti_tree import write_drive
from sfmlearner_tf.data.kitti_raw import list_kitti_raw
from sfmlearner_tf.data.sequences import Frame, FrameSequence, Intrinsics, Selection
from sfmlearner_tf.data.static import find_static

DRIVE = "2011_09_26_drive_0001_sync"


def write_speeds(tmp_path, speeds):
    oxts = tmp_path / "2011_09_26" / DRIVE / "oxts" / "data"
    oxts.mkdir(parents=True)
    for number, (forward, left) in enumerate(speeds):
        numbers = [49.0, 8.4, 110.0, 0, 0, 0, 9.0, 9.0, forward, left, *[0.0] * 20]
        (oxts / f"{number:010d}.txt").write_text(" ".join(map(str, numbers)))


def test_slow_frames_by_forward_and_leftward_speed(tmp_path):
    write_drive(tmp_path, DRIVE, range(5), cameras=["02"])
    write_speeds(tmp_path, [(2, 0), (0.5, 0), (-0.5, 0.5), (0.9, 0.9), (0, -3)])
    (sequence,) = list_kitti_raw(str(tmp_path), Selection()).sequences
    assert find_static(sequence, max_speed=1.0, max_flow=1.25) == ([1, 2], [])


def street(tmp_path, offsets):
    """Frames of a smooth picture that stands still or moves sideways by `offsets` pixels in all."""
    coarse = np.random.RandomState(0).randint(0, 255, (10, 60, 3)).astype(np.uint8)
    wide = Image.fromarray(coarse).resize((600, 64), Image.Resampling.BICUBIC)
    frames = []
    for number, offset in enumerate(offsets):
        path = tmp_path / f"{number:010d}.png"
        wide.crop((offset, 0, offset + 208, 64)).save(path)
        frames.append(Frame(f"{number:010d}", str(path)))
    return FrameSequence("walk", "walk", tuple(frames), Intrinsics(200, 200, 104, 32))


def test_frames_without_flow_where_there_is_no_speed(tmp_path):
    pytest.importorskip("skimage", reason="the extra `static` is not installed")
    sequence = street(tmp_path, [0, 6, 12, 12, 12, 18, 24])
    assert find_static(sequence, max_speed=1.0, max_flow=1.25) == ([2, 3], [])


def test_a_damaged_frame_is_named_and_no_guess_is_made_about_its_neighbours(tmp_path):
    pytest.importorskip("skimage", reason="the extra `static` is not installed")
    sequence = street(tmp_path, [0, 0, 0, 0])
    (tmp_path / "0000000002.png").write_bytes(b"no image")
    static, notes = find_static(sequence, max_speed=1.0, max_flow=1.25)
    assert static == [0]
    assert [note.kind for note in notes] == ["damaged frame"]
