import os

import pytest
from PIL import Image

from odd_pictures import turned_exif, write_png_header
from sfmlearner_tf.data.own_recordings import list_images
from sfmlearner_tf.data.sequences import Intrinsics, Selection

WIDTH, HEIGHT = 64, 48


def calibrate(width, height):
    assert (width, height) == (WIDTH, HEIGHT)
    return Intrinsics(60, 60, width / 2, height / 2)


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


def test_intrinsics_are_those_of_upright_photos(tmp_path):
    for index in range(3):
        Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / f"{index}.jpg", exif=turned_exif())
    (sequence,) = list_images(str(tmp_path), Selection(), calibrate).sequences
    assert sequence.intrinsics.cx == WIDTH / 2


@pytest.mark.parametrize("first", ["bomb", "pipe", "text", "folder"])
def test_the_size_is_that_of_the_first_sound_picture(tmp_path, first):
    path = tmp_path / "0.png"
    {
        "bomb": lambda: write_png_header(path, 50_000, 50_000),
        "pipe": lambda: os.mkfifo(path),
        "text": lambda: path.write_text("no image"),
        "folder": path.mkdir,
    }[first]()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "1.png")
    (sequence,) = list_images(str(tmp_path), Selection(), calibrate).sequences
    assert (len(sequence.frames), sequence.intrinsics.cx) == (2, WIDTH / 2)


def test_a_folder_s_name_becomes_one_that_a_list_can_hold(tmp_path):
    folder = os.fsencode(tmp_path) + b"/my \xff walk"
    os.mkdir(folder)
    Image.new("RGB", (WIDTH, HEIGHT)).save(os.fsdecode(folder) + "/0.png")
    (sequence,) = list_images(os.fsdecode(folder), Selection(), calibrate).sequences
    assert sequence.folder == "my___walk"
