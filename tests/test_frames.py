import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.frames import open_image, read_upright_size
from sfmlearner_tf.errors import UserError


def turned_exif() -> Image.Exif:
    """The orientation of a picture whose top row is the camera's right side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


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


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    Image.new("L", (64, 48)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (open_image, read_upright_size):
        with pytest.raises(UserError, match=r"a\.png: expected an image; Image size \(3072 pixels\) exceeds limit"):
            read(tmp_path / "a.png")
