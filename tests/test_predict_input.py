from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_input import check_images, list_recording, read_pictures

SIZE = (64, 48)


def save(path, color=0, mode="RGB", size=SIZE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


def read(recording):
    notes = []
    return list(read_pictures(recording, list(range(len(recording.frames))), notes)), notes


def test_folders_patterns_and_single_images(tmp_path):
    for name in ("10.png", "2.png", "1.JPG", "sub/3.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    recording = list_recording(str(tmp_path))
    assert recording.name == tmp_path.name
    assert [frame.name for frame in recording.frames] == ["1", "2", "10"]
    assert recording.times_s == [0, 1, 2]
    assert [frame.name for frame in list_recording(str(tmp_path / "*.png")).frames] == ["2", "10"]
    assert [frame.name for frame in list_recording(str(tmp_path / "**" / "*.png")).frames] == ["2", "10", "3"]
    assert [frame.name for frame in list_recording(str(tmp_path / "2.png")).frames] == ["2"]


def test_a_crop_is_cut_out_before_all_else(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (48, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    recording = list_recording(str(tmp_path))._replace(crop=(3, 5, 20, 10))
    (picture,) = read_pictures(recording, [0], [], {"network": np.asarray})
    assert np.array_equal(picture.image, pixels[5:15, 3:23])
    assert np.array_equal(picture.resized["network"], pixels[5:15, 3:23])
    with pytest.raises(UserError, match=r"--crop: expected a part of .*1\.png; 64x48 pixels are too few for the crop"):
        read(recording._replace(crop=(45, 5, 20, 10)))


def test_images_of_one_name_are_told_apart(tmp_path):
    for name in ("a/1.png", "a/1.jpg", "b/1.png"):
        save(tmp_path / name)
    assert [frame.name for frame in list_recording(str(tmp_path / "a")).frames] == ["1.jpg", "1.png"]
    assert [frame.name for frame in list_recording(f"{tmp_path}/*/1.png").frames] == ["a_1.png", "b_1.png"]


def test_every_image_has_its_own_name_also_where_folders_and_files_alternate(tmp_path):
    for name in ("a/b.png", "c/b.png", "a_b.png"):
        save(tmp_path / name)
    recording = list_recording(str(tmp_path / "**" / "*.png"))
    assert [(frame.name, frame.path) for frame in recording.frames] == [
        (name, str(tmp_path / name)) for name in ("a/b.png", "a_b.png", "c/b.png")
    ]
    with pytest.raises(UserError, match="expected every image once, found some by several paths in "):
        list_recording(str(tmp_path / "*" / ".." / "a" / "b.png"))


def test_a_pattern_names_images_once_and_leaves_out_earlier_output(tmp_path):
    for name in ("in/a/b.png", "in/c/d.png", "in/out/b_depth.png"):
        save(tmp_path / name)
    pattern, link = str(tmp_path / "in" / "**" / "**" / "*.png"), tmp_path / "link"
    link.symlink_to(tmp_path / "in" / "out")
    assert [frame.name for frame in list_recording(pattern, str(link)).frames] == ["b", "d"]
    assert [frame.name for frame in list_recording(pattern, str(tmp_path / "new")).frames] == ["b", "d", "b_depth"]
    # Where all lie in it, the command says that this folder is no place for output.
    assert [frame.name for frame in list_recording(pattern, str(tmp_path)).frames] == ["b", "d", "b_depth"]


def test_pictures_of_every_mode_are_rgb_and_upright(tmp_path):
    save(tmp_path / "a grey.png", 200, "L")
    save(tmp_path / "b grey 16 bit.png", 200 * 256 + 17, "I;16")
    save(tmp_path / "c clear.png", (200, 200, 200, 10), "RGBA")
    save(tmp_path / "d palette.png", 1, "P")
    turned = Image.Exif()
    turned[0x0112] = 6
    save(tmp_path / "e turned.jpg", (200, 200, 200), exif=turned)
    pictures, notes = read(list_recording(str(tmp_path)))
    assert notes == []
    assert [picture.image.mode for picture in pictures] == ["RGB"] * 5
    assert [picture.image.size for picture in pictures] == [SIZE] * 4 + [SIZE[::-1]]
    for index in (0, 1, 2, 4):
        np.testing.assert_array_equal(np.asarray(pictures[index].image), 200)


def test_damaged_images_are_left_out_and_noted(tmp_path):
    for index in range(4):
        save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:50])
    save(tmp_path / "2.tif", 0.5, "F")
    pictures, notes = read(list_recording(str(tmp_path)))
    assert [picture.frame.name for picture in pictures] == ["0.png", "2.png", "3.png"]
    assert [picture.number for picture in pictures] == [0, 2, 4]
    assert [str(tmp_path / name) in note.what for name, note in zip(("1.png", "2.tif"), notes)] == [True, True]
    assert "floating-point pixels, expected 8 or 16 bits" in notes[1].what


def test_what_is_no_photo_or_no_longer_there_is_left_out_and_noted(tmp_path):
    for name in ("gone.png", "photo.png"):
        save(tmp_path / name)
    # A texture, in a format and of a kind that Pillow knows but cannot decode.
    (tmp_path / "texture.png").write_bytes(b"DDS " + struct.pack("<7I", 124, 4103, 8, 8, 0, 0, 0) + bytes(256))
    os.mkfifo(tmp_path / "pipe.png")
    recording = list_recording(str(tmp_path))
    (tmp_path / "gone.png").unlink()
    for name in ("pipe.png", "texture.png"):
        with pytest.raises(UserError, match=f"{name}: expected an image; .*; a video and a trajectory need every"):
            check_images(list_recording(str(tmp_path / name)), one_size=False)
    pictures, notes = read(recording)
    assert [picture.frame.name for picture in pictures] == ["photo"]
    assert [note.what.split(": ")[0] for note in notes] == [
        str(tmp_path / name) for name in ("gone.png", "pipe.png", "texture.png")
    ]


def test_pictures_come_in_order_with_what_the_networks_get_of_them(tmp_path):
    for index in range(12):
        # The first take longest.
        save(tmp_path / f"{index}.png", color=(20 * index, 0, 0), size=(2000 // (index + 1), 50))
    recording = list_recording(str(tmp_path))
    resizers = {side: lambda image, side=side: np.asarray(image.resize((side, 3))) for side in (4, 5)}
    pictures = list(read_pictures(recording, [0, 1, 3, *range(5, 12)], [], resizers))
    assert [picture.number for picture in pictures] == [0, 1, 3, *range(5, 12)]
    for picture in pictures:
        assert picture.frame.name == str(picture.number)
        for side in (4, 5):
            assert picture.resized[side].shape == (3, side, 3)
            assert np.all(picture.resized[side] == (20 * picture.number, 0, 0))


def test_what_is_no_input_is_named(tmp_path):
    for path, message in (
        (tmp_path, "expected images in this folder, found none$"),
        (tmp_path / "9.png", "found nothing of this name"),
        (tmp_path / "*.png", "found no image that matches this pattern"),
    ):
        with pytest.raises(UserError, match=message):
            list_recording(str(path))
    (tmp_path / "walk.mp4").write_bytes(b"no video at all")
    with pytest.raises(UserError, match=r"found none; for a video, name the file, such as .*/walk\.mp4"):
        list_recording(str(tmp_path))
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(UserError, match="expected an image or a video, a file that ends in one of "):
        list_recording(str(tmp_path / "list.txt"))
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    with pytest.raises(UserError, match=r"walk\.mp4: expected a video, found no frame in it; .+"):
        list_recording(str(tmp_path / "walk.mp4"))


def test_what_needs_every_image_and_one_size_is_told_before(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    save(tmp_path / "1.jpg")
    save(tmp_path / "2.jpg", size=SIZE[::-1], exif=turned)
    check_images(list_recording(str(tmp_path)), one_size=True)
    save(tmp_path / "3.jpg", size=(64, 50))
    recording = list_recording(str(tmp_path))
    check_images(recording, one_size=False)
    with pytest.raises(UserError, match=r"3\.jpg: expected 64x48 pixels like the images before, found 64x50"):
        check_images(recording, one_size=True)
    (tmp_path / "2.jpg").write_bytes(b"none")
    with pytest.raises(UserError, match=r"2\.jpg: expected an image; .+; a video and a trajectory need every image"):
        check_images(recording, one_size=False)
