"""Which frames are neighbours, chosen by how the picture moves."""

import numpy as np
import pytest
from PIL import Image

from prepare_command import contents, prepare
from sfmlearner_tf.data.flow_steps import LONGEST_STEP, FlowLimits, choose_steps
from sfmlearner_tf.data.sequences import Frame, FrameSequence, Intrinsics

pytest.importorskip("skimage", reason="the extra `static` is not installed")

WIDTH, HEIGHT = 208, 64


def pictures(offsets):
    """Frames of a picture, with structures of many sizes, that has moved sideways by so many pixels."""
    draw = np.random.RandomState(0)
    layers = [draw.randint(0, 255, (HEIGHT // size, 640 // size, 3)).astype(np.uint8) for size in (8, 16, 32, 64)]
    resized = [Image.fromarray(layer).resize((640, HEIGHT), Image.Resampling.BICUBIC) for layer in layers]
    wide = Image.fromarray(np.mean([np.asarray(layer, float) for layer in resized], axis=0).astype(np.uint8))
    return [wide.crop((offset, 0, offset + WIDTH, HEIGHT)) for offset in offsets]


def record(folder, offsets):
    folder.mkdir()
    for number, picture in enumerate(pictures(offsets)):
        picture.save(folder / f"{number:010d}.png")
    frames = tuple(Frame(path.stem, str(path)) for path in sorted(folder.iterdir()))
    return FrameSequence("walk", "walk", frames, Intrinsics(200, 200, 104, 32))


def targets(chosen, seq_length=3):
    """The numbers of the frames of each example, by its target's."""
    found = {}
    for sequence in chosen.sequences:
        numbers = [int(frame.name) for frame in sequence.frames]
        for start in range(len(numbers) - seq_length + 1):
            window = numbers[start : start + seq_length]
            assert window[seq_length // 2] not in found
            found[window[seq_length // 2]] = window
    return found


def test_slow_frames_get_farther_neighbours_than_fast_ones(tmp_path):
    """One pixel a frame is 2 at a width of 416, so that 5 need three frames; later three pixels a frame do at once."""
    sequence = record(tmp_path / "walk", [*range(12), *range(14, 38, 3)])
    chosen = choose_steps(sequence, 3, FlowLimits(least_px=5))
    found = targets(chosen)
    assert found[4] == [1, 4, 7]
    assert found[6] == [3, 6, 9]
    assert found[15] == [14, 15, 16]
    assert chosen.counts == {3: 9, 1: 7, "at an end": 4}
    assert chosen.describe("walk") == "walk: frames to the neighbours: 1 for 7, 3 for 9; no targets: 4 at an end"


def test_five_frames_keep_one_step_between_them(tmp_path):
    sequence = record(tmp_path / "walk", range(16))
    found = targets(choose_steps(sequence, 5, FlowLimits(least_px=3)), 5)
    assert found == {target: list(range(target - 4, target + 5, 2)) for target in range(4, 12)}


def test_what_stands_still_jumps_or_is_damaged_is_left_out(tmp_path):
    still = 2 * LONGEST_STEP + 3
    sequence = record(tmp_path / "walk", [0, 2, 4, 6, 8, *[8] * still, 10, 12, 14, 22, 24, 26, 28, 30, 32])
    (tmp_path / "walk" / f"{still + 11:010d}.png").write_bytes(b"no image")
    chosen = choose_steps(sequence, 3, FlowLimits(least_px=3, most_px=10))
    found = targets(chosen)
    assert [found[target] for target in (1, 2, 3)] == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    middle = 4 + LONGEST_STEP + 1
    assert middle not in found
    assert chosen.counts["hardly move"] >= 1
    jump = still + 7  # the last before it
    assert not {jump, jump + 1} & set(found)
    assert chosen.counts["move too much"] == 2
    assert not any(still + 11 in window for window in found.values())
    assert [note.kind for note in chosen.notes] == ["damaged frame"]


def test_a_video_gives_what_its_frames_give(tmp_path):
    """It is read once, though its examples have two steps."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    offsets = [*range(9), *range(11, 32, 3)]
    record(tmp_path / "walk", offsets)
    # Lossless, so that the frames are the same.
    writer = ffmpeg.write_frames(str(tmp_path / "walk.avi"), (WIDTH, HEIGHT), codec="ffv1", pix_fmt_out="bgr0")
    writer.send(None)
    for picture in pictures(offsets):
        writer.send(np.ascontiguousarray(picture))
    writer.close()
    options = ("--intrinsics=200,200,104,32", "--min_flow_px=5")
    images = prepare(tmp_path / "walk", tmp_path / "a", *options, dataset_name="images")
    video = prepare(tmp_path / "walk.avi", tmp_path / "b", *options, dataset_name="video")
    for result in (images, video):
        assert result.returncode == 0, result.stderr
        assert ": frames to the neighbours: 1 for 6, 3 for 6; no targets: 4 at an end" in result.stdout
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    strips = [name for name in first if name.endswith(".jpg")]
    assert len(strips) == 12
    for name in strips:
        assert first[name] == second[name.replace("walk/", "walk.avi/")], name
    again = prepare(tmp_path / "walk.avi", tmp_path / "b", *options, dataset_name="video")
    assert "\n0 frames decoded" in again.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset_name=kitti_raw", "--min_flow_px=3"), "--min_flow_px: expected --dataset_name=video or"),
        (("--dataset_name=images", "--max_flow_px=3"), "--horizontal_fov_deg, found none"),
        (("--horizontal_fov_deg=70", "--min_flow_px=3", "--max_flow_px=2"), "at least --min_flow_px=3, found 2"),
        (("--horizontal_fov_deg=70", "--min_flow_px=3", "--frame_step=2"), "--frame_step and --min_flow_px"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, options, message):
    result = prepare(tmp_path, tmp_path / "out", *options, dataset_name="images")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
