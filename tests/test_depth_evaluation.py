import json
import multiprocessing

import numpy as np
import pytest

from kitti_eval.depth_evaluation import DepthProtocol, evaluate_depth_map, evaluate_images, summarize
from kitti_eval.depth_ground_truth import GroundTruth, load_ground_truth
from kitti_eval.errors import UserError
from kitti_eval.image_lists import list_eigen_files, read_image_list
from lidar_tree import HEIGHT, WIDTH, name_image, write_lidar_drive

TRUTH = GroundTruth(np.linspace(2, 90, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH))


@pytest.mark.parametrize("cap", [80, 50])
def test_golden_numbers_of_the_release(shared, cap):
    golden = shared / "golden" / "eval_depth"
    image_files, predictions = read_image_list(golden / "test_files.txt"), np.load(golden / "predictions.npy")
    protocol = DepthProtocol(max_depth_m=cap)
    errors = summarize(list(evaluate_images(shared / "data/kitti_raw", image_files, predictions, protocol))).errors
    expected = json.loads((golden / "expected.json").read_text())[f"max_depth_{cap}"]
    assert errors._asdict() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lists_of_images_may_have_more_columns_and_blank_lines(tmp_path, encoding):
    text = "a/b/1.png a/b/1.txt\n\n  a/b/2.png\t721.5 \n \na/3.png\n"
    (tmp_path / "list.txt").write_text(text, encoding)
    assert read_image_list(tmp_path / "list.txt") == ["a/b/1.png", "a/b/2.png", "a/3.png"]


@pytest.mark.parametrize(
    "name", ["../1.png", "a/../../1.png", "/etc/passwd", ".", "a\0.png", "x" * 300, "a/" * 3000 + "b"]
)
def test_lists_of_images_do_not_lead_out_of_the_dataset(tmp_path, name):
    (tmp_path / "list.txt").write_text(f"a/b.png\n{name}\n")
    with pytest.raises(UserError, match=r"list\.txt line 2: expected a path"):
        read_image_list(tmp_path / "list.txt")


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xff.png\n"])
def test_lists_without_images_are_named(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"list\.txt: expected a list of test images, one per line, found"):
        read_image_list(tmp_path / "list.txt")


def test_652_eigen_images_have_annotated_depth():
    annotated, all_files = list_eigen_files(annotated_only=True), list_eigen_files()
    assert (len(annotated), len(all_files)) == (652, 697)
    assert [image_file for image_file in all_files if image_file in set(annotated)] == annotated
    # KITTI annotates no first or last five frames: what it lacks of a drive lies before or after all that it has.
    for drive in {image_file.split("/")[1] for image_file in all_files}:
        have, lack = (
            [int(file[-14:-4]) for file in all_files if drive in file and (file in annotated) == wanted]
            for wanted in (True, False)
        )
        assert all(frame < 5 or frame > max(have) for frame in lack)
        assert min(have) >= 5


def test_scaling_does_not_matter_with_the_median_and_does_without():
    protocol = DepthProtocol()
    perfect = evaluate_depth_map(TRUTH, TRUTH.depth_m / 30, protocol)
    assert perfect.errors.a1 == 1
    assert perfect.errors.abs_rel < 1e-6
    assert perfect.scale == pytest.approx(30, rel=1e-5)
    assert evaluate_depth_map(TRUTH, TRUTH.depth_m / 30, DepthProtocol(scale=30.0)).errors.abs_rel < 1e-6
    assert evaluate_depth_map(TRUTH, TRUTH.depth_m / 30, DepthProtocol(scale=1.0)).errors.a3 == 0


def test_a_constant_prediction_becomes_the_median():
    result = evaluate_depth_map(TRUTH, np.full((4, 8), 0.7, np.float32), DepthProtocol(crop="none"))
    gt = TRUTH.depth_m[TRUTH.depth_m < 80].astype(float)
    assert result.errors.abs_rel == pytest.approx(np.mean(np.abs(gt - np.median(gt)) / gt), rel=1e-5)
    assert result.pixels == gt.size


def test_d1_all_from_scaled_depth():
    truth = GroundTruth(np.array([[4.0, 4.0, 4.0, 100.0]]), focal_baseline=400.0)
    pred = np.array([[4.0, 4.0, 5.0, 100.0]])  # disparities 100, 100, 80, 5 (clipped at 80 m) against 100, 100, 100, 4
    result = evaluate_depth_map(truth, pred, DepthProtocol("stereo", crop="none"))
    assert result.d1_all == 25
    assert result.pixels == 3


def test_frames_without_measurement_are_named_and_not_averaged(tmp_path):
    write_lidar_drive(tmp_path, [0, 1])
    scan = tmp_path / name_image(1).replace("image_02", "velodyne_points").replace(".png", ".bin")
    np.array([[-5, 0, 0, 0]], np.float32).tofile(scan)
    image_files = [name_image(frame) for frame in (0, 1, 7)]
    pred = load_ground_truth(tmp_path, image_files[0], "eigen").depth_m + 1
    results = list(evaluate_images(tmp_path, image_files, [pred] * 3, DepthProtocol()))
    summary = summarize(results)
    assert summary.left_out == [
        (name_image(1), "no valid pixel in the ground truth"),
        (name_image(7), "no ground truth file"),
    ]
    assert (summary.listed, summary.evaluated, summary.d1_all) == (3, 1, None)
    assert summary.errors == results[0].errors
    with pytest.raises(UserError, match=f"none of the 2 listed images can be evaluated; the first, {name_image(1)}"):
        summarize(results[1:])


def test_an_unusable_prediction_is_named(tmp_path):
    write_lidar_drive(tmp_path, [0])
    for pred, problem in ((np.full((3, 6), np.nan), "finite"), (np.zeros((3, 6)), "above 0")):
        with pytest.raises(UserError, match=f"prediction of {name_image(0)}: .*{problem}"):
            list(evaluate_images(tmp_path, [name_image(0)], [pred], DepthProtocol()))


def test_two_processes_give_the_same_in_the_same_order(tmp_path):
    write_lidar_drive(tmp_path, range(3))
    image_files = [name_image(index % 4) for index in range(100)]
    predictions = np.random.RandomState(0).uniform(1, 2, (100, 6, 12)).astype(np.float32)
    one, two = (
        list(evaluate_images(tmp_path, image_files, predictions, DepthProtocol(), processes)) for processes in (1, 2)
    )
    assert one == two


def test_a_mistake_in_a_worker_is_named_too(tmp_path):
    write_lidar_drive(tmp_path, [0])
    predictions = np.ones((100, 3, 6))
    predictions[60] = np.nan
    with pytest.raises(UserError, match=f"prediction of {name_image(0)}"):
        list(evaluate_images(tmp_path, [name_image(0)] * 100, predictions, DepthProtocol(), 2))


def test_a_killed_process_ends_the_evaluation_in_one_line(tmp_path):
    write_lidar_drive(tmp_path, [0])
    results = evaluate_images(tmp_path, [name_image(0)] * 500, np.ones((500, 3, 6), np.float32), DepthProtocol(), 2)
    next(results)
    multiprocessing.active_children()[0].kill()
    with pytest.raises(UserError, match="a worker process was killed"):
        list(results)
