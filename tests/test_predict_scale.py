from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_input import Picture, Recording
from sfmlearner_tf.tools.predict_scale import SparseDepths, compute_ratios, read_points

ONE = Recording("a", (Frame("a", "in/a.jpg"),), [0.0])
TWO = Recording("in", (Frame("a", "in/a.jpg"), Frame("b", "in/b.jpg")), [0.0, 1.0])
VIDEO = Recording("v", tuple(Frame(f"v_{index:06d}", "v.mp4", index) for index in range(3)), [0.0, 0.1, 0.2])


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "depths.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_points_by_frame(table):
    points = read_points(table("depth_m, v,u\n5,2,1.5\n0,0,0\n"), ONE)
    assert {number: [tuple(point[:3]) for point in found] for number, found in points.items()} == {0: [(1.5, 2, 5)]}
    points = read_points(table("image,u,v,depth_m\nb,1,2,5\na.jpg,3,4,6\nin/b.jpg,5,6,7\n"), TWO)
    assert {number: [point.u for point in found] for number, found in points.items()} == {1: [1, 5], 0: [3]}
    assert list(read_points(table("\ufeffu,v,depth_m,image\n1,2,5,2\n"), VIDEO)) == [2]


@pytest.mark.parametrize(
    ("text", "recording", "message"),
    [
        ("u,depth\n1,2\n", ONE, "expected the columns u, v, depth_m, found u, depth: v, depth_m missing"),
        ("", ONE, "found none: u, v, depth_m missing"),
        ("u,v,depth_m\n1,2,3\n", TWO, "expected the columns u, v, depth_m, image, found u, v, depth_m: image missing"),
        ("u,v,depth_m\n1,2,3\n1,x,3\n", ONE, "line 3: expected a number in column v, found 'x'"),
        ("u,v,depth_m\n1,2\n", ONE, "line 2: expected a number in column depth_m, found ''"),
        ("u,v,depth_m\n1,2,inf\n", ONE, "line 2: expected finite numbers, found 1.0, 2.0, inf"),
        ("u,v,depth_m\n1,2,nan\n", ONE, "line 2: expected finite numbers, found 1.0, 2.0, nan"),
        ("u,v,depth_m\n1,2,3\n1,2,1e308\n", ONE, "line 3: expected a depth of up to 1e+06 m, found 1e+308"),
        ("u,v,depth_m\n1,2,0\n1,2,-3\n", ONE, "expected measured depths, found no positive one"),
        ("u,v,depth_m,image\n1,2,3,c\n", TWO, "line 2: expected a frame of --input in column image, found 'c'"),
        ("u,v,depth_m,image\n1,2,3,3\n", VIDEO, "line 2: expected a frame of --input in column image, found '3'"),
        (b"\x89PNG\xff\xfe", ONE, "expected a CSV file"),
    ],
)
def test_unfit_tables_are_named(table, text, recording, message):
    path = table(text)
    with pytest.raises(UserError) as error:
        read_points(path, recording)
    assert message in str(error.value)
    assert path in str(error.value)
    with pytest.raises(UserError, match=r"nowhere\.csv: expected a CSV file; No such file"):
        read_points("nowhere.csv", recording)


def test_ratios_are_of_the_depth_at_the_pixel(table):
    # Disparity rises by 1 a pixel of the network, which is 2 pixels of the picture: 1 + (u - 0.5) / 2 between centres.
    depth = np.tile(1 / (1 + np.arange(4.0)), (2, 1)).astype(np.float32)
    picture = Picture(0, ONE.frames[0], Image.new("RGB", (8, 4)))
    points = read_points(table("u,v,depth_m\n2,1,10\n4.4,3.4,10\n0,0,10\n"), ONE)[0]
    np.testing.assert_allclose(compute_ratios(points, picture, depth), [17.5, 27.5, 10], rtol=1e-6)


def test_points_are_those_of_the_whole_image_where_it_is_cropped(table):
    path = table("u,v,depth_m\n11,21,5\n12,21,7\n10,20,9\n14,21,3\n")
    picture = Picture(0, ONE.frames[0], Image.new("RGB", (3, 2)))
    depths = SparseDepths(path, ONE._replace(crop=(11, 20, 3, 2)))
    depth = np.array([[1, 2, 4], [1, 2, 5]], np.float32)
    np.testing.assert_allclose(depths.ratios(picture, depth), [5 / 1, 7 / 2], rtol=1e-6)


@pytest.mark.parametrize("pixel", ["7.5,0", "0,4", "-0.6,0", "0,-1"])
def test_points_outside_the_picture_are_named(table, pixel):
    points = read_points(table(f"u,v,depth_m\n1,1,5\n{pixel},5\n"), ONE)[0]
    picture = Picture(0, ONE.frames[0], Image.new("RGB", (8, 4)))
    with pytest.raises(UserError, match=r"line 3: expected a pixel of in/a.jpg, 8x4, found u="):
        compute_ratios(points, picture, np.ones([2, 4], np.float32))
