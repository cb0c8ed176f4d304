import imageio.v3 as imageio
import numpy as np
import pytest

from kitti_eval.depth_ground_truth import load_ground_truth, project_lidar, read_projection, read_uint16_png
from kitti_eval.errors import UserError
from lidar_tree import (
    CAMERAS,
    DRIVE,
    FOCAL_PX,
    HEIGHT,
    LIDAR,
    PROJECTION,
    WIDTH,
    make_scan,
    name_image,
    write_lidar_drive,
)


def test_projection_by_hand():
    # 10.25 m ahead of the lidar, 10 m ahead of the camera, 1 m to the left and 0.5 m below: u = 30 - 4, v = 15 + 2.
    depth = project_lidar(np.array([[10.25, 1, -0.5]]), PROJECTION)
    assert depth.shape == (HEIGHT, WIDTH)
    assert depth.dtype == np.float32
    assert np.argwhere(depth).tolist() == [[17 - 1, 26 - 1]]
    assert depth[16, 25] == 10.25
    assert project_lidar(np.array([[10.25, 1, -0.5]]), PROJECTION, "camera")[16, 25] == 10


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_the_nearest_point_of_a_pixel_counts(order):
    ray = np.array([1, 0.1, -0.05])
    points = np.array([[0.25, 0, 0] + distance * ray for distance in (10, 20, 30)])[order]
    depth = project_lidar(points, PROJECTION)
    assert depth[depth > 0].tolist() == [10.25]


def test_points_behind_or_outside_leave_no_trace():
    points = np.array([[-10, 0, 0], [0.1, 0, 0], [0.25, 0, 0], [10, 30, 0], [10, 0, -30.0]])
    with np.errstate(all="raise"):
        assert not project_lidar(points, PROJECTION).any()


@pytest.mark.parametrize(("kind", "column"), [("forward", None), ("camera", 2)])
def test_projection_against_a_loop(kind, column):
    scan = make_scan(points=2000)
    expected = np.zeros((HEIGHT, WIDTH))
    for x, y, z, _ in scan.astype(float):
        u_times_z, v_times_z, camera_z = PROJECTION.matrix @ [x, y, z, 1]
        if x < 0 or camera_z <= 0:
            continue
        u, v = round(u_times_z / camera_z) - 1, round(v_times_z / camera_z) - 1
        depth = x if column is None else camera_z
        if 0 <= u < WIDTH and 0 <= v < HEIGHT and (expected[v, u] == 0 or depth < expected[v, u]):
            expected[v, u] = depth
    assert np.count_nonzero(expected) > 100
    np.testing.assert_allclose(project_lidar(scan, PROJECTION, kind), expected, rtol=1e-6)


def test_calibration_files_give_the_projection(tmp_path):
    write_lidar_drive(tmp_path, [0])
    projection = read_projection(tmp_path / "2011_09_26", 2)
    np.testing.assert_allclose(projection.matrix, PROJECTION.matrix)
    assert projection[1:] == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("calib_cam_to_cam.txt", None, "cam_to_cam.txt: expected a KITTI calibration file; No such file"),
        ("calib_cam_to_cam.txt", CAMERAS.replace("S_rect_02", "S_rect_03"), "2 finite numbers after 'S_rect_02:'"),
        ("calib_velo_to_cam.txt", LIDAR.replace("0.25", "nan"), "3 finite numbers after 'T:'"),
        ("calib_velo_to_cam.txt", LIDAR.replace("R: 0", "R:"), "9 finite numbers after 'R:'"),
        ("calib_velo_to_cam.txt", LIDAR.replace("0.25", "1e200"), "3 finite numbers after 'T:'"),
        ("calib_velo_to_cam.txt", LIDAR.replace("R: 0 -1", "R: 0 0"), "expected a rotation after 'R:'"),
        ("calib_cam_to_cam.txt", CAMERAS.replace("R_rect_00: 1", "R_rect_00: 5"), "a rotation after 'R_rect_00:'"),
        ("calib_cam_to_cam.txt", CAMERAS.replace(f"P_rect_02: {FOCAL_PX}", "P_rect_02: -9"), "focal lengths above 0"),
        ("calib_cam_to_cam.txt", CAMERAS.replace(f"S_rect_02: {WIDTH}", "S_rect_02: 0"), "the size of an image"),
        ("calib_cam_to_cam.txt", CAMERAS.replace(f"S_rect_02: {WIDTH}", "S_rect_02: -60"), "the size of an image"),
        ("calib_cam_to_cam.txt", CAMERAS.replace(f"S_rect_02: {WIDTH}", "S_rect_02: 1e7"), "the size of an image"),
        ("calib_cam_to_cam.txt", CAMERAS.replace(f"S_rect_02: {WIDTH}", "S_rect_02: 1e200"), "2 finite numbers"),
    ],
)
def test_damaged_calibration_is_named(tmp_path, name, text, message):
    write_lidar_drive(tmp_path, [0])
    path = tmp_path / "2011_09_26" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_ground_truth(tmp_path, name_image(0), "eigen")


def test_a_damaged_scan_is_named_and_a_missing_one_is_none(tmp_path):
    write_lidar_drive(tmp_path, [0, 1])
    folder = tmp_path / "2011_09_26" / DRIVE / "velodyne_points" / "data"
    with (folder / "0000000000.bin").open("ab") as scan:
        scan.write(b"x")
    np.full((3, 4), np.nan, np.float32).tofile(folder / "0000000001.bin")
    with (folder / "0000000002.bin").open("wb") as scan:
        scan.truncate(60 * 10**9)
    for frame in (0, 1, 2):
        with pytest.raises(UserError, match=f"000{frame}.bin: expected rows of four finite float32"):
            load_ground_truth(tmp_path, name_image(frame), "eigen")
    assert load_ground_truth(tmp_path, name_image(3), "eigen") is None


def test_a_listed_path_of_another_form_is_named(tmp_path):
    with pytest.raises(UserError, match=r"0001\.png: expected <date>/<drive>"):
        load_ground_truth(tmp_path, "drive/0001.png", "eigen")


@pytest.mark.parametrize("root", ["2011_09_26", "train", "val"])
def test_annotated_depth_is_found_in_both_layouts(tmp_path, root):
    path = tmp_path / root / DRIVE / "proj_depth/groundtruth/image_02/0000000005.png"
    path.parent.mkdir(parents=True)
    imageio.imwrite(path, np.array([[0, 256, 640]], np.uint16))
    assert load_ground_truth(tmp_path, name_image(5), "improved").depth_m.tolist() == [[0, 1, 2.5]]
    assert load_ground_truth(tmp_path, name_image(6), "improved") is None


def test_disparities_become_depth(tmp_path):
    for folder in ("disp_occ_0", "calib_cam_to_cam"):
        (tmp_path / "training" / folder).mkdir(parents=True)
    imageio.imwrite(tmp_path / "training/disp_occ_0/000003_10.png", np.array([[0, 2560, 512]], np.uint16))
    (tmp_path / "training/calib_cam_to_cam/000003.txt").write_text(
        f"P_rect_02: {FOCAL_PX} 0 0 4 0 1 0 0 0 0 1 0\nP_rect_03: {FOCAL_PX} 0 0 -16 0 1 0 0 0 0 1 0\n"
    )
    for extension in ("png", "jpg"):
        truth = load_ground_truth(tmp_path, f"training/image_2/000003_10.{extension}", "stereo")
        assert truth.focal_baseline == 20
        assert truth.depth_m.tolist() == [[0, 2, 10]]
    assert load_ground_truth(tmp_path, "training/image_2/000004_10.png", "stereo") is None


def test_disparities_of_a_right_camera_on_the_left_are_refused(tmp_path):
    for folder in ("disp_occ_0", "calib_cam_to_cam"):
        (tmp_path / "training" / folder).mkdir(parents=True)
    imageio.imwrite(tmp_path / "training/disp_occ_0/000003_10.png", np.array([[0, 2560, 512]], np.uint16))
    (tmp_path / "training/calib_cam_to_cam/000003.txt").write_text(
        "P_rect_02: 9 0 0 -16 0 9 0 0 0 0 1 0\nP_rect_03: 9 0 0 4 0 9 0 0 0 0 1 0\n"
    )
    with pytest.raises(UserError, match=r"000003\.txt: expected camera 3 to the right of camera 2"):
        load_ground_truth(tmp_path, "training/image_2/000003_10.png", "stereo")


def test_other_images_are_no_depth_maps(tmp_path):
    imageio.imwrite(tmp_path / "grey.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match=r"grey.png: expected a 16-bit PNG of one channel, found uint8 \[2, 2\]"):
        read_uint16_png(tmp_path / "grey.png")
    with pytest.raises(UserError, match=r"cut.png: expected a 16-bit PNG"):
        read_uint16_png(tmp_path / "cut.png")
