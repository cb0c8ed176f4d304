"""Point clouds against cases by hand, and read again as another program would."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.sequences import Frame, Intrinsics
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import CloudWriter, find_camera, find_edges, lift, write_ply
from sfmlearner_tf.tools.predict_input import Picture

CAMERA = Intrinsics(50.0, 40.0, 30.0, 20.0)


def read_ply(path):
    """Positions [n, 3] and colours [n, 3] of a PLY file, by its header."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count = int(lines[2].split()[-1])
    kinds = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], kinds[line.split()[1]]) for line in lines[3:]]
    points = np.frombuffer(body, np.dtype(fields))
    assert len(points) == count
    return (np.stack([points[name] for name in names], axis=-1) for names in ("xyz", ("red", "green", "blue")))


def picture_of(size, number=0, shade=7):
    """A picture of size (width, height) that is shown to the network at 6x4."""
    pixels = np.full((4, 6, 3), shade, np.uint8)
    return Picture(number, Frame(f"x{number}", "x.png"), Image.new("RGB", size), {"depth": pixels})


def test_points_by_hand(tmp_path):
    depth = np.full((40, 60), 5.0)
    image = np.zeros((40, 60, 3), np.uint8)
    image[39, 59] = 255, 128, 1
    points = lift(depth, image, CAMERA)
    assert len(points) == depth.size
    # Row by row; the pixel at the principal point lies straight ahead.
    np.testing.assert_allclose(points["position"][20 * 60 + 30], [0, 0, 5])
    np.testing.assert_allclose(points["position"][-1], [5 * 29 / 50, 5 * 19 / 40, 5], rtol=1e-6)
    write_ply(tmp_path / "cloud.ply", points)
    positions, colours = read_ply(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(positions, points["position"])
    assert colours[-1].tolist() == [255, 128, 1]
    assert colours[:-1].max() == 0


def test_edges_and_what_is_far_are_left_out():
    depth = np.full((6, 8), 2.0)
    depth[:, 4:] = 2.15  # no edge yet
    assert not find_edges(depth).any()
    depth[:, 4:] = 2.3
    expected = np.zeros((6, 8), bool)
    expected[:, 3:5] = True
    np.testing.assert_array_equal(find_edges(depth), expected)
    np.testing.assert_array_equal(find_edges(depth.T), expected.T)
    image = np.zeros((6, 8, 3), np.uint8)
    assert sorted(set(lift(depth, image, CAMERA)["position"][:, 2])) == pytest.approx([2.0, 2.3])
    assert set(lift(depth, image, CAMERA, max_depth=2.1)["position"][:, 2]) == {2.0}
    depth[:, 4:] = 9.0  # beyond four times the median of 2
    depth[:, 3] = 2.0
    depth[0, 4] = 2.0
    assert lift(depth, image, CAMERA)["position"][:, 2].max() == 2.0


def test_the_camera_is_that_of_the_image_and_depth_is_scaled(tmp_path):
    writer = CloudWriter(tmp_path, find_camera("ply", "100,90,62,33", None), 3.0, None, 0)
    writer.write(picture_of((120, 60)), np.full((4, 6), 2.0))
    positions, _ = read_ply(tmp_path / "x0_cloud.ply")
    # At 6x4 the camera is 5, 6, 3.1, 2.2.
    np.testing.assert_allclose(positions[0], 6 * np.array([-3.1 / 5, -2.2 / 6, 1]), rtol=1e-6)
    np.testing.assert_allclose(positions[-1], 6 * np.array([1.9 / 5, 0.8 / 6, 1]), rtol=1e-6)
    with pytest.raises(UserError, match=r"the principal point inside the frames' 50x60 pixels"):
        writer.write(picture_of((50, 60)), np.full((4, 6), 2.0))


def test_the_camera_of_a_crop_is_moved_by_it(tmp_path):
    camera = find_camera("ply", "1370,1360,960,540", None, crop=(10, 600, 1900, 400))
    assert camera(1900, 400) == (1370, 1360, 950, -60)
    with pytest.raises(UserError, match="expected a horizontal field of view of"):
        find_camera("ply", "13,13,960,540", None, crop=(10, 600, 1900, 400))


def test_a_clip_is_joined_along_its_path(tmp_path):
    writer = CloudWriter(tmp_path, find_camera("ply", "6,6,3,2", None), 1.0, None, 12)
    for number in (1, 0):  # threads end in any order
        writer.write(picture_of((6, 4), number, 10 * number), np.full((4, 6), 1.0 + number))
    turned = np.eye(4)
    turned[:3, :3], turned[:3, 3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], [0.5, 0, 4]
    assert writer.write_clip(tmp_path / "clip.ply", np.stack([np.eye(4), turned])) == 24
    positions, colours = read_ply(tmp_path / "clip.ply")
    assert np.all(colours[:12] == 0)
    assert np.all(colours[12:] == 10)
    np.testing.assert_allclose(positions[:12, 2], 1)
    # Half of the points of an image are kept, the first among them: at (-3, -2) / 6 * depth 2.
    x, y, z = -1, -2 / 3, 2
    np.testing.assert_allclose(positions[12], [z + 0.5, y, -x + 4], rtol=1e-6)


def test_a_cloud_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/cloud\.ply: cannot write the point cloud; File exists"):
        write_ply(tmp_path / "file" / "cloud.ply", lift(np.ones((2, 2)), np.zeros((2, 2, 3), np.uint8), CAMERA))
