import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.formatted import (
    Example,
    is_complete,
    read_intrinsics,
    read_split,
    write_example,
    write_splits,
)
from sfmlearner_tf.errors import UserError

CAMERA = (241.674463, 246.284868, 204.16801, 59.000832)


def images(count=3):
    return [Image.new("RGB", (40, 32), (60 * index, 0, 0)) for index in range(count)]


def test_example_files_hold_the_strip_and_the_release_s_text(tmp_path):
    example = Example("drive_02", "0000000001")
    write_example(str(tmp_path), example, images(), CAMERA)
    assert (tmp_path / "drive_02" / "0000000001_cam.txt").read_text() == (
        "241.674463,0.,204.168010,0.,246.284868,59.000832,0.,0.,1."
    )
    strip = np.asarray(Image.open(tmp_path / "drive_02" / "0000000001.jpg")).astype(int)
    assert strip.shape == (32, 120, 3)
    assert [strip[16, 20 + 40 * index, 0] // 50 for index in range(3)] == [0, 1, 2]
    np.testing.assert_allclose(
        read_intrinsics(example.camera_path(str(tmp_path))),
        [[CAMERA[0], 0, CAMERA[2]], [0, CAMERA[1], CAMERA[3]], [0, 0, 1]],
        rtol=1e-6,
    )
    assert is_complete(str(tmp_path), example)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("damage", ["no image", "image cut short", "empty image", "no camera", "camera cut short"])
def test_a_half_written_example_is_not_complete(tmp_path, damage):
    example = Example("a", "1")
    write_example(str(tmp_path), example, images(), CAMERA)
    path = tmp_path / "a" / ("1.jpg" if "image" in damage else "1_cam.txt")
    content = path.read_bytes()
    path.unlink()
    if not damage.startswith("no "):
        path.write_bytes(content[: 0 if "empty" in damage else len(content) // 2])
    assert not is_complete(str(tmp_path), example)


def test_the_split_is_a_tenth_by_sorted_order_and_survives_a_repair(tmp_path):
    examples = [Example(folder, f"{frame:010d}") for folder in ("a", "b") for frame in range(50)]
    for example in examples:
        write_example(str(tmp_path), example, images(), CAMERA)
    written = write_splits(str(tmp_path), reversed(examples))
    assert (len(written.train) + len(written.val), written.missing) == (100, [])
    draws = np.random.RandomState(8964).uniform(size=100)
    for name, chosen in (("val", draws < 0.1), ("train", draws >= 0.1)):
        assert read_split(str(tmp_path), name) == [example for example, yes in zip(examples, chosen) if yes]
    before = read_split(str(tmp_path), "val")
    (tmp_path / "a" / "0000000003.jpg").unlink()
    assert write_splits(str(tmp_path), examples).missing == [examples[3]]
    assert set(read_split(str(tmp_path), "val")) | {examples[3]} == {*before, examples[3]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"train\.txt: expected a list of examples; No such file"),
        (b"", r"train\.txt: expected a line .* found an empty file"),
        (b"a 1\nb\n", r"train\.txt line 2: expected .* found 'b'"),
        (b"\n\n", r"train\.txt: expected a line .* found an empty file"),
        (b"\xff\xfe", r"train\.txt: expected a list of examples, found no text"),
        (b"a 1\n../b 1\n", r"train\.txt line 2: expected a path inside the folder, found '\.\./b'"),
        (b"a ../../1\n", r"train\.txt line 1: expected a path inside the folder"),
        (b"a 1\n/etc 1\n", r"train\.txt line 2: expected a path inside the folder, found '/etc'"),
        (b"a /etc/passwd\n", r"train\.txt line 1: expected a path inside the folder, found '/etc/passwd'"),
        (b"a 1\0\n", r"train\.txt line 1: expected a path inside the folder"),
        (b"a " + b"1" * 300 + b"\n", r"train\.txt line 1: expected a path, found a name that is too long"),
    ],
)
def test_a_bad_list_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_split(str(tmp_path), "train")


def test_empty_lines_of_a_list_are_passed_over(tmp_path):
    (tmp_path / "val.txt").write_text("a 1\n\nb 2\n \n")
    assert read_split(str(tmp_path), "val") == [Example("a", "1"), Example("b", "2")]


def test_a_crop_may_leave_the_principal_point_outside_the_frame(tmp_path):
    (tmp_path / "1_cam.txt").write_text("241.7,0.,-30.5,0.,246.3,200.,0.,0.,1.")
    assert read_intrinsics(str(tmp_path / "1_cam.txt"))[:2, 2].tolist() == [-30.5, 200]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "nine comma-separated numbers, found '1,2,3'"),
        ("a,0,0,0,1,0,0,0,1", "nine comma-separated numbers"),
        ("nan,0.,1.,0.,1.,1.,0.,0.,1.", "finite numbers"),
        ("inf,0.,1.,0.,1.,1.,0.,0.,1.", "finite numbers"),
        ("1.,0.,1.,0.,-1.,1.,0.,0.,1.", "positive focal lengths .* found fx=1 and fy=-1"),
        ("0.,0.,1.,0.,1.,1.,0.,0.,1.", "positive focal lengths .* found fx=0 and fy=1"),
        ("1.,0.,1.,0.,1e30,1.,0.,0.,1.", "positive focal lengths .* found fx=1 and fy=1e\\+30"),
        ("1e300,0.,1.,0.,1.,1.,0.,0.,1.", "positive focal lengths"),
        ("9.,0.1,1.,0.,9.,1.,0.,0.,1.", "fx,0,cx,0,fy,cy,0,0,1, found '9.,0.1"),
        ("9.,0.,1.,0.,9.,1.,0.,0.,2.", "fx,0,cx,0,fy,cy,0,0,1"),
        ("9.,0.,1.,0.,9.,1.,0.,1.,1.", "fx,0,cx,0,fy,cy,0,0,1"),
        ("9.,0.,-91.,0.,9.,1.,0.,0.,1.", r"a principal point in or near the frame, found \(-91, 1\)"),
        ("9.,0.,1.,0.,9.,1e9,0.,0.,1.", "a principal point in or near the frame"),
        ("", "nine comma-separated numbers, found ''"),
    ],
)
def test_bad_intrinsics_are_named(tmp_path, text, message):
    path = tmp_path / "1_cam.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=f"1_cam.txt: expected {message}"):
        read_intrinsics(str(path))
