"""Lists and errors against what is known from outside this code, without the real recordings.

The checksums are those of the 2017 release's own files. The errors in golden/evaluation.json are of generated data, as
`independent_evaluation` computes them, which gives the release's numbers for the real recordings.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import independent_evaluation as independent
from kitti_eval import snippets
from kitti_eval.depth_evaluation import DepthProtocol, evaluate_images, summarize
from kitti_eval.image_lists import list_eigen_files, list_stereo_files
from lidar_tree import CAMERAS, LIDAR, make_scan, name_image, write_lidar_drive
from sfmlearner_tf.data import splits

GOLDEN = Path(__file__).parent / "golden"
FRAMES = 4


def as_text(lines):
    return "".join(f"{line}\n" for line in lines)


def static_lines():
    for drive, frames in splits.static_frames().items():
        for frame in frames:
            yield f"{drive[:10]} {drive} {frame:010d}"


# What `sha256sum` says of the release's file where it has one: data/kitti/test_files_eigen.txt and so on.
LISTS = {
    "test_files_eigen": (list_eigen_files, "0d9d0dc4ba492bef41d449ee7a8a1751b55f46042e0f8d278c09f16cef462fda"),
    "test_files_stereo": (list_stereo_files, "9d917299a2fd976ebbc8b997cd866adec9735f8a8930885d2db02ff6dc93d12c"),
    "test_files_eigen with annotated depth": (
        lambda: list_eigen_files(annotated_only=True),
        "106069b54f1142bfb02952aacc5c556522fbe51d84fa5bf63536fcd49447c48f",
    ),
    "test_scenes_eigen": (
        lambda: splits.held_out_scenes("eigen"),
        "df2563d0d3482ab6da413cdc4471b04938970a5317f6bd843b9280a81d437981",
    ),
    "test_scenes_stereo": (
        lambda: splits.held_out_scenes("stereo"),
        "ee005e2ddede564d439621bb313a612f91607b64ccf5d37ffce2dc91a38bfcd2",
    ),
    "static_frames": (static_lines, "268ef2acb91035acca2db9631d23af5a4c1a9a95af31c9099a000fba82c88e11"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_the_published_ones(name):
    make, checksum = LISTS[name]
    assert hashlib.sha256(as_text(make()).encode()).hexdigest() == checksum


def predict():
    return np.random.RandomState(0).uniform(1, 2, (FRAMES, 8, 16)).astype(np.float32)


@pytest.mark.parametrize("cap", [80, 50])
def test_errors_of_depth(tmp_path, cap):
    write_lidar_drive(tmp_path, range(FRAMES))
    image_files = [name_image(frame) for frame in range(FRAMES)]
    errors = summarize(list(evaluate_images(tmp_path, image_files, predict(), DepthProtocol(max_depth_m=cap)))).errors
    truths = [independent.lidar_depth(make_scan(frame), CAMERAS, LIDAR) for frame in range(FRAMES)]
    rows = [independent.depth_errors(gt, pred, cap) for gt, pred in zip(truths, predict())]
    golden = json.loads((GOLDEN / "evaluation.json").read_text())[f"depth_{cap}m"]
    assert independent.mean_depth_errors(rows) == pytest.approx(golden, rel=1e-9)
    assert errors._asdict() == pytest.approx(golden, rel=1e-5)


def make_snippets(folder):
    """Texts of the release as truth; as predictions those of the next snippet, moved and of another scale."""
    texts = json.loads((GOLDEN / "dump_pose_seq_tum.json").read_text())["tum_text"]
    for kind in ("gt", "pred"):
        (folder / kind).mkdir()
    for index, text in enumerate(texts):
        rows = [[float(number) for number in line.split()] for line in texts[index - 1].splitlines()]
        moved = [[t, 0.3 * x + 1, 0.3 * y - index, 0.3 * z + 2, *turn] for t, x, y, z, *turn in rows]
        (folder / "gt" / f"{index:06d}.txt").write_text(text)
        pred = as_text(" ".join(f"{number:.6f}" for number in row) for row in moved)
        (folder / "pred" / f"{index:06d}.txt").write_text(pred)


def read_pairs(folder):
    paths = sorted((folder / "pred").glob("*.txt"))
    return [((folder / "gt" / path.name).read_text(), path.read_text()) for path in paths]


def test_errors_of_snippets(tmp_path):
    make_snippets(tmp_path)
    _, summary = snippets.evaluate_snippets(tmp_path / "gt", tmp_path / "pred")
    ates = [independent.snippet_ate(*pair) for pair in read_pairs(tmp_path)]
    golden = json.loads((GOLDEN / "evaluation.json").read_text())["snippet_ate"]
    assert independent.mean_and_std(ates) == pytest.approx((golden["mean"], golden["std"]), rel=1e-9)
    assert summary[:3] == pytest.approx((golden["mean"], golden["std"], len(ates)), rel=1e-9)


def test_the_independent_evaluation_gives_the_release_s_errors_of_snippets(shared):
    expected = json.loads((shared / "golden/eval_pose/expected.json").read_text())
    ates = [independent.snippet_ate(*pair) for pair in read_pairs(shared / "golden/eval_pose")]
    assert independent.mean_and_std(ates) == pytest.approx((expected["ate_mean"], expected["ate_std"]), rel=1e-12)


@pytest.mark.parametrize("cap", [80, 50])
def test_the_independent_evaluation_gives_the_release_s_errors_of_depth(shared, cap):
    golden, date = shared / "golden" / "eval_depth", shared / "data" / "kitti_raw" / "2011_09_26"
    calibration = [(date / f"calib_{name}.txt").read_text() for name in ("cam_to_cam", "velo_to_cam")]
    rows = []
    for image_file, pred in zip((golden / "test_files.txt").read_text().split(), np.load(golden / "predictions.npy")):
        _, drive, *_, name = Path(image_file).parts
        scan = np.fromfile(date / drive / "velodyne_points" / "data" / f"{name[:-4]}.bin", np.float32).reshape(-1, 4)
        rows.append(independent.depth_errors(independent.lidar_depth(scan, *calibration), pred, cap))
    expected = json.loads((golden / "expected.json").read_text())[f"max_depth_{cap}"]
    assert independent.mean_depth_errors(rows) == pytest.approx(expected, abs=2e-6)
