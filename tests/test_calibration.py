import math

import pytest

from kitti_tree import P_RECT
from sfmlearner_tf.data.calibration import (
    check_intrinsics,
    from_horizontal_fov,
    parse_intrinsics,
    read_calibration_file,
    read_kitti_projection,
)
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.errors import UserError


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "calibration.txt"
        path.write_text(text)
        return str(path)

    return write


def test_kitti_projection(file):
    path = file(f"calib_time: 09-Jan-2012 13:57:47\nP_rect_02: {P_RECT}\n")
    assert read_kitti_projection(path, "P_rect_02") == Intrinsics(fx=72, fy=71, cx=60, cy=17)
    with pytest.raises(UserError, match="after P_rect_03:, found 'no such line'"):
        read_kitti_projection(path, "P_rect_03")


@pytest.mark.parametrize("numbers", ["1 2 3", "a " * 12, "nan " + "1 " * 11, "0 " * 12])
def test_a_damaged_projection_is_refused(file, numbers):
    with pytest.raises(UserError, match=r"calibration\.txt: expected twelve numbers"):
        read_kitti_projection(file(f"P2: {numbers}\n"), "P2")


@pytest.mark.parametrize(
    ("fx", "cx", "skew", "last"),
    [
        (1e200, 60, 0, 1),
        (-72, 60, 0, 1),
        (0, 60, 0, 1),
        (72, -1, 0, 1),
        (72, 1e10, 0, 1),
        (72, 60, 0.5, 1),
        (72, 60, 0, 2),
    ],
)
def test_what_is_no_camera_is_refused(file, fx, cx, skew, last):
    with pytest.raises(UserError, match=r"calibration\.txt: expected"):
        read_kitti_projection(file(f"P2: {fx} {skew} {cx} 4.5 0 71 17 0.2 0 0 {last} 0.003\n"), "P2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"P0: 1 {P_RECT}\nP2: {P_RECT}\n", (72, 71, 60, 17)),
        (f"P_rect_02: {P_RECT}\n", (72, 71, 60, 17)),
        ("# Camera list\n1 PINHOLE 124 38 70 71 60 17\n", (70, 71, 60, 17)),
        ("1 SIMPLE_PINHOLE 124 38 70 60 17\n", (70, 70, 60, 17)),
        ("1 OPENCV 124 38 70 71 60 17 0.001 0 0 0\n", (70, 71, 60, 17)),
        ("1 SIMPLE_RADIAL 124 38 70 60 17 -0.002\n", (70, 70, 60, 17)),
        ("70 71 60 17\n", (70, 71, 60, 17)),
    ],
)
def test_calibration_files_of_kitti_and_colmap(file, text, expected):
    assert read_calibration_file(file(text), 124, 38) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found 0 other lines"),
        ("1 PINHOLE 124 38 70 71 60 17\n" * 2, "found 2 other lines"),
        ("1 FISHEYE 124 38 70 71 60 17\n", "expected a COLMAP camera of"),
        ("1 PINHOLE 124 38 70 71 60\n", "expected a COLMAP camera of"),
        ("70 71 60 nan\n", "found 1 other lines"),
        ("1 PINHOLE 248 76 70 71 60 17\n", "expected a camera of the frames' size, 124x38, found 248x76"),
        ("1 RADIAL 124 38 70 60 17 -0.2 0\n", "expected undistorted frames"),
    ],
)
def test_other_calibration_files_are_refused_with_the_reason(file, text, message):
    with pytest.raises(UserError, match=message):
        read_calibration_file(file(text), 124, 38)


def test_a_missing_calibration_file_is_named():
    with pytest.raises(UserError, match="/no/file: expected a calibration file of KITTI or COLMAP; No such file"):
        read_calibration_file("/no/file", 124, 38)


def test_numbers_and_angle_of_view():
    assert parse_intrinsics("72,71,60.5,17") == (72, 71, 60.5, 17)
    assert from_horizontal_fov(90, 200, 100) == pytest.approx((100, 100, 100, 50))
    for text in ("72,71,60", "a,b,c,d", "72,71,60,inf"):
        with pytest.raises(UserError, match="intrinsics: expected four numbers"):
            parse_intrinsics(text)
    for angle in (0, -5, 180, math.inf):
        with pytest.raises(UserError, match="horizontal_fov_deg: expected an angle"):
            from_horizontal_fov(angle, 200, 100)


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        ((0, 71, 60, 17), "positive focal lengths"),
        ((72, 71, 124, 17), r"principal point inside the frames' 124x38 pixels, found \(124, 17\)"),
        ((72, 71, 60, -1), "principal point inside"),
        ((60, 17, 72, 30), "nearly square pixels"),
        ((4.2, 4.2, 60, 17), "field of view .* found 172.* not millimetres"),
        ((720, 720, 60, 17), "field of view .* found 9.* for frames of this size"),
        ((72, 35, 60, 17), "nearly square pixels"),
    ],
)
def test_implausible_intrinsics_are_explained(intrinsics, message):
    with pytest.raises(UserError, match=message):
        check_intrinsics(Intrinsics(*intrinsics), 124, 38)


def test_kitti_s_own_intrinsics_are_plausible():
    intrinsics = Intrinsics(721.5377, 721.5377, 609.5593, 172.854)
    assert check_intrinsics(intrinsics, 1242, 375) == intrinsics
