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
        (None, r"train\.txt: expected a list of examples, found: No such file"),
        (b"", r"train\.txt: expected a line .* found an empty file"),
        (b"a 1\nb\n", r"train\.txt line 2: expected .* found 'b'"),
        (b"a 1\n\n", r"train\.txt line 2: expected"),
        (b"\xff\xfe", r"train\.txt: expected a list of examples, found: bytes that are not text"),
    ],
)
def test_a_bad_list_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_split(str(tmp_path), "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "nine comma-separated numbers, found '1,2,3'"),
        ("a,0,0,0,1,0,0,0,1", "nine comma-separated numbers"),
        ("nan,0.,1.,0.,1.,1.,0.,0.,1.", "finite numbers"),
        ("inf,0.,1.,0.,1.,1.,0.,0.,1.", "finite numbers"),
        ("1.,0.,1.,0.,-1.,1.,0.,0.,1.", "positive focal lengths, found fx=1 and fy=-1"),
        ("", "nine comma-separated numbers, found ''"),
    ],
)
def test_bad_intrinsics_are_named(tmp_path, text, message):
    path = tmp_path / "1_cam.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=f"1_cam.txt: expected {message}"):
        read_intrinsics(str(path))
