"""How the evaluation finds and opens the images of a dataset."""

import struct
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest

from kitti_eval.depth_ground_truth import read_uint16_png
from kitti_eval.error_maps import draw_example
from kitti_eval.errors import UserError
from kitti_eval.images import find_image


def write_png(path, width, height):
    """A 16-bit PNG whose header promises a size, without the pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_a_listed_png_may_be_a_jpg(tmp_path):
    folder = tmp_path / "image_02" / "data"
    folder.mkdir(parents=True)
    for name in ("0.png", "1.jpg", "2.png", "2.jpg"):
        (folder / name).touch()
    found = [find_image(tmp_path, f"image_02/data/{frame}.png").name for frame in range(3)]
    assert found == ["0.png", "1.jpg", "2.png"]
    assert find_image(tmp_path, "image_02/data/1.jpg").name == "1.jpg"
    with pytest.raises(UserError, match=r"data/3\.png: expected this image or one named 3\.jpg, found neither"):
        find_image(tmp_path, "image_02/data/3.png")


@pytest.mark.parametrize("side", [5000, 12000, 20000, 100_000])
def test_images_that_would_fill_the_memory_are_refused(tmp_path, recwarn, side):
    write_png(tmp_path / "bomb.png", side, side)
    for read in (read_uint16_png, lambda path: draw_example(path, np.zeros((40, 30, 3), np.uint8))):
        with pytest.raises(UserError, match=r"bomb\.png: expected .*pixels") as refused:
            read(tmp_path / "bomb.png")
        assert "\n" not in str(refused.value)
    assert not list(recwarn)


def test_an_image_damaged_after_its_header_is_named(tmp_path):
    imageio.imwrite(tmp_path / "cut.png", np.random.RandomState(0).randint(0, 255, (40, 60, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    with pytest.raises(UserError, match=r"cut\.png: expected an image"):
        draw_example(tmp_path / "cut.png", np.zeros((40, 30, 3), np.uint8))
