import pytest

from sfmlearner_tf.data import splits
from sfmlearner_tf.errors import UserError


@pytest.mark.parametrize("split", ["eigen", "stereo"])
def test_scenes_are_the_published_ones(shared, split):
    folder = shared / "splits"
    assert splits.held_out_scenes(split) == (folder / f"test_scenes_{split}.txt").read_text().split()


def test_static_frames_are_the_published_ones(shared):
    published = (shared / "splits" / "static_frames.txt").read_text()
    ours = splits.static_frames()
    assert published == "".join(
        f"{drive[:10]} {drive} {frame:010d}\n" for drive, frames in ours.items() for frame in frames
    )
    assert splits.read_static_frames(str(shared / "splits" / "static_frames.txt")) == ours


def test_hand_counted_entries():
    assert splits.held_out_scenes("eigen")[0] == "2011_09_26_drive_0117"
    assert splits.static_frames()["2011_09_26_drive_0009_sync"][:4] == [386, 387, 390, 391]


def test_empty_lines_of_a_static_list_are_passed_over(tmp_path):
    path = tmp_path / "static.txt"
    path.write_text("\na b 0000000007\n\na b 9\n\n")
    assert splits.read_static_frames(str(path)) == {"b": [7, 9]}


@pytest.mark.parametrize(
    "line", ["2011_09_26 drive", "a b c", "a b -1", "a b 1 2", "a b " + "9" * 5000, "a ../b 1", "a /b 1"]
)
def test_a_malformed_static_list_names_the_line(tmp_path, line):
    path = tmp_path / "static.txt"
    path.write_text(f"a b 0000000001\n{line}\n")
    with pytest.raises(UserError, match=r"static\.txt line 2: expected"):
        splits.read_static_frames(str(path))


def test_a_missing_static_list_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.txt"):
        splits.read_static_frames(str(tmp_path / "nothing.txt"))
