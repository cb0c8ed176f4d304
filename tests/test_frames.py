import os
import warnings

import numpy as np
import pytest
from PIL import Image

from odd_pictures import turned_exif, write_png_header
from sfmlearner_tf.data import frames
from sfmlearner_tf.data.frames import Geometry, load_frames, open_image, read_upright_size
from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.errors import UserError


@pytest.mark.parametrize(
    ("pixels", "mode", "rgb"),
    [
        (np.array([[[10, 20, 30]]], np.uint8), "RGB", (10, 20, 30)),
        (np.array([[[10, 20, 30, 40]]], np.uint8), "RGBA", (10, 20, 30)),
        (np.array([[7]], np.uint8), "L", (7, 7, 7)),
        (np.array([[7 * 256 + 255]], np.uint16), "I;16", (7, 7, 7)),
    ],
)
def test_every_mode_becomes_8_bit_rgb(tmp_path, pixels, mode, rgb):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == mode
    image = open_image(tmp_path / "a.png")
    assert (image.mode, image.getpixel((0, 0))) == ("RGB", rgb)


def test_exif_orientation_is_applied_only_when_asked(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=turned_exif())
    assert open_image(tmp_path / "a.jpg").size == (64, 48)
    assert open_image(tmp_path / "a.jpg", upright=True).size == (48, 64)
    assert read_upright_size(tmp_path / "a.jpg") == (48, 64)


def test_frames_are_turned_upright_before_they_are_resized(tmp_path):
    """As prediction turns them."""
    picture = Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3))
    picture.save(tmp_path / "plain.png")
    picture.save(tmp_path / "turned.png", exif=turned_exif())
    plain, turned = load_frames(
        tuple(Frame(name, str(tmp_path / f"{name}.png")) for name in ("plain", "turned")), Geometry(64, 64, 64), []
    )
    assert (plain.full_size, turned.full_size) == ((64, 48), (48, 64))
    expected = picture.transpose(Image.Transpose.ROTATE_270).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(np.asarray(turned.image), np.asarray(expected))


def test_what_is_no_regular_file_is_refused_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for read in (open_image, read_upright_size):
        with pytest.raises(UserError, match=r"pipe\.png: expected an image; this is no regular file"):
            read(tmp_path / "pipe.png")


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_an_unreadable_image_is_named_once_with_the_reason(tmp_path, kind):
    Image.effect_noise((64, 48), 50).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "text it's.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(content[:1000])
    (tmp_path / "folder.png").mkdir()
    Image.new("F", (4, 4)).save(tmp_path / "float.tif")
    for name, reason in (
        ("none.png", "No such file or directory"),
        ("text it's.png", "cannot identify image file"),
        ("cut.png", "image file is truncated"),
        ("folder.png", "Is a directory"),
        ("float.tif", "floating-point pixels, expected 8 or 16 bits"),
    ):
        with pytest.raises(UserError) as raised:
            open_image(kind(tmp_path / name))
        assert str(raised.value).startswith(f"{tmp_path / name}: expected an image; {reason}")
        assert str(raised.value).count(str(tmp_path)) == 1


@pytest.mark.parametrize("side", [13_000, 50_000])
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(tmp_path, side):
    """Also one of which Pillow only warns."""
    write_png_header(tmp_path / "a.png", side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (open_image, read_upright_size):
            with pytest.raises(UserError, match=r"a\.png: expected an image; .* limit of"):
                read(tmp_path / "a.png")


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    Image.new("L", (64, 48)).save(tmp_path / "a.png")
    monkeypatch.setattr(frames, "MAX_PIXELS", 100)
    for read in (open_image, read_upright_size):
        with pytest.raises(UserError, match=r"a\.png: expected an image; 64x48 pixels exceed"):
            read(tmp_path / "a.png")
