import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kitti_eval import pose_files, trajectory
from kitti_eval.errors import UserError

FOLDER = Path(__file__).parent / "golden"


def make_path(frames: int = 40, seed: int = 0) -> np.ndarray:
    """Poses [frames, 4, 4] from the identity on, in three dimensions."""
    spread = [0.1, 0.1, 0.3, 0.02, 0.1, 0.02]
    steps = np.random.RandomState(seed).normal([0, 0, 1, 0, 0, 0], spread, (frames - 1, 6))
    return trajectory.chain_motions(trajectory.pose_vectors_to_matrices(steps))


def test_pose_vectors_by_hand():
    quarter = np.pi / 2
    matrix = trajectory.pose_vectors_to_matrices(np.array([1, 2, 3, quarter, quarter, 0]))
    np.testing.assert_allclose(matrix, [[0, 0, 1, 1], [1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]], atol=1e-15)


def test_pose_vectors_against_scipy():
    vectors = np.random.RandomState(0).normal(size=(5, 3, 6))
    matrices = trajectory.pose_vectors_to_matrices(vectors)
    expected = Rotation.from_euler("XYZ", vectors.reshape(-1, 6)[:, 3:]).as_matrix().reshape(5, 3, 3, 3)
    np.testing.assert_allclose(matrices[..., :3, :3], expected, atol=1e-12)
    np.testing.assert_array_equal(matrices[..., :3, 3], vectors[..., :3])


def test_text_of_the_release_for_its_pose_vectors():
    golden = json.loads((FOLDER / "dump_pose_seq_tum.json").read_text())
    times_s = np.array(golden["times"])
    for vectors, expected in zip(golden["pose_vectors"], golden["tum_text"]):
        text = pose_files.format_tum(trajectory.predicted_vectors_to_poses(np.array(vectors)), times_s)
        # The sign of a zero is noise of the linear algebra library.
        assert text.replace("-0.000000", "0.000000") == expected.replace("-0.000000", "0.000000")


def test_motions_and_chaining_are_inverse():
    path = make_path()
    np.testing.assert_allclose(trajectory.chain_motions(trajectory.compute_motions(path)), path, atol=1e-10)
    np.testing.assert_allclose(trajectory.compute_motions(path, 3)[4], np.linalg.inv(path[4]) @ path[7], atol=1e-12)
    np.testing.assert_allclose(trajectory.make_relative(path)[0], np.eye(4), atol=1e-15)


def test_path_lengths():
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[1, :3, 3], poses[2, :3, 3] = [3, 0, 4], [3, 12, 4]
    assert trajectory.compute_path_lengths(poses).tolist() == [0, 5, 17]


@pytest.mark.parametrize(("kind", "scale"), [("6dof", 1.0), ("7dof", 0.04)])
def test_a_known_similarity_is_found(kind, scale):
    path = make_path()
    rotation = Rotation.from_euler("xyz", [0.3, -2.0, 1.0]).as_matrix()
    moved = trajectory.transform_poses(trajectory.Similarity(scale, rotation, np.array([5.0, -7.0, 9.0])), path)
    similarity = trajectory.find_alignment(path[:, :3, 3], moved[:, :3, 3], kind)
    assert similarity.scale == pytest.approx(1 / scale)
    np.testing.assert_allclose(similarity.rotation, rotation.T, atol=1e-9)
    np.testing.assert_allclose(trajectory.transform_poses(similarity, moved), path, atol=1e-8)


def test_alignment_is_the_best_of_its_kind():
    gt, pred = make_path(seed=1)[:, :3, 3], make_path(seed=2)[:, :3, 3]

    def squared_error(similarity):
        moved = similarity.scale * pred @ similarity.rotation.T + similarity.translation
        return np.sum((gt - moved) ** 2)

    best = {kind: squared_error(trajectory.find_alignment(gt, pred, kind)) for kind in trajectory.ALIGNMENTS}
    assert best["7dof"] <= min(best.values())
    similarity = trajectory.find_alignment(gt, pred, "7dof")
    for axis in range(3):
        for step in (1e-3, -1e-3):
            turn = Rotation.from_rotvec(step * np.eye(3)[axis]).as_matrix()
            assert squared_error(similarity._replace(rotation=turn @ similarity.rotation)) > best["7dof"]
            assert squared_error(similarity._replace(translation=similarity.translation + step)) > best["7dof"]
            assert squared_error(similarity._replace(scale=similarity.scale + step)) > best["7dof"]


def test_the_factor_of_7dof_alone():
    """As evo's -s: it is not the best factor about the start."""
    gt, pred = make_path(seed=1)[:, :3, 3], make_path(seed=2)[:, :3, 3]
    factor, whole, best = (trajectory.find_alignment(gt, pred, kind) for kind in ("scale_umeyama", "7dof", "scale"))
    assert factor.scale == whole.scale
    assert factor.scale != pytest.approx(best.scale, rel=0.01)
    np.testing.assert_array_equal(factor.rotation, np.eye(3))
    np.testing.assert_array_equal(factor.translation, 0)


def test_of_poses_at_one_time_the_first_is_taken(tmp_path):
    (tmp_path / "tum.txt").write_text("1 5 0 0 0 0 0 1\n1 6 0 0 0 0 0 1\n2 7 0 0 0 0 0 1\n")
    poses, times_s, _ = pose_files.read_trajectory(tmp_path / "tum.txt")
    np.testing.assert_array_equal(times_s, [1, 2])
    np.testing.assert_array_equal(poses[:, 0, 3], [5, 7])
    with pytest.raises(UserError, match=r"tum\.txt: expected ascending times"):
        pose_files.read_tum(tmp_path / "tum.txt")


def test_a_mirrored_path_is_turned_not_mirrored():
    gt = make_path()[:, :3, 3]
    rotation = trajectory.find_alignment(gt, gt * [-1, 1, 1], "7dof").rotation
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_prediction_that_stands_still_gets_a_finite_alignment():
    gt = make_path()[:, :3, 3]
    assert trajectory.find_alignment(gt, np.zeros_like(gt), "scale").scale == 0
    still = trajectory.find_alignment(gt, np.zeros_like(gt), "7dof")
    np.testing.assert_allclose(still.translation, gt.mean(axis=0))
    assert np.isfinite(still.rotation).all()


def test_quaternions_against_scipy_also_at_right_angles():
    angles = [[0.1, 0.2, 0.3], [3, 1.5, -3], [0.4, np.pi / 2, 0.2], [0.4, -np.pi / 2, 0.2], [0, np.pi, 0]]
    rotations = Rotation.from_euler("XYZ", angles)
    quaternions = pose_files.rotations_to_quaternions(rotations.as_matrix())
    signs = np.sign(np.sum(quaternions * rotations.as_quat(), axis=1, keepdims=True))
    np.testing.assert_allclose(quaternions * signs, rotations.as_quat(), atol=1e-7)
    np.testing.assert_allclose(pose_files.quaternions_to_rotations(3 * quaternions), rotations.as_matrix(), atol=1e-7)


def test_files_keep_a_trajectory(tmp_path):
    path, times_s = make_path(), np.arange(40) / 10
    (tmp_path / "kitti.txt").write_text(pose_files.format_kitti(path))
    (tmp_path / "tum.txt").write_text("# time x y z\n" + pose_files.format_tum(path, times_s))
    kitti, no_times, no_frames = pose_files.read_trajectory(tmp_path / "kitti.txt")
    tum, tum_times_s, _ = pose_files.read_trajectory(tmp_path / "tum.txt")
    assert no_frames is None
    assert no_times is None
    np.testing.assert_allclose(tum_times_s, times_s)
    np.testing.assert_allclose(kitti, path, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(tum, path, atol=5e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected a text file of numbers; No such file"),
        ("", "expected lines of numbers, found none"),
        ("# time x y z\n\n", "expected lines of numbers, found none"),
        ("0 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 nan\n", "line 2: expected finite numbers, found 'nan'"),
        ("# time x y z\n0 0 0 0 0 0 0 1\n\n1 0 0\n", "line 4: expected 8 numbers, found 3"),
        ("0 0 0 0 0 0 0 one\n", "line 1: expected finite numbers, found 'one'"),
        ("0 0 0 0 0 0 0 0.5\n", "quaternions of length 1, found one of 0.5"),
        ("1 0 0 0 0 0 0 1\n0.9 0 0 0 0 0 0 1\n", "expected ascending times"),
        ("1e300 1 0 0 0 0 1 0 0 0 0 1 0\n", "numbers of frames that rise in the first of 13 columns"),
        ("1.5 1 0 0 0 0 1 0 0 0 0 1 0\n", "numbers of frames that rise in the first of 13 columns"),
        ("2 1 0 0 0 0 1 0 0 0 0 1 0\n2 1 0 0 0 0 1 0 0 0 0 1 0\n", "numbers of frames that rise"),
        ("1 2 3\n", "expected 12 numbers per line"),
        ("0 2e12 0 0 0 0 0 1\n", "expected poses in metres, found the number 2e.12"),
        ("0 1e300 1e300 0 0 0 0 1\n", "expected poses in metres"),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 1e300 0 1 0 0 0 0 1 0\n", "expected poses in metres"),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0 0 0 0 0 0 0 1 0\n", "found no rotation in pose 2"),
        ("1 0.03 0 0 0 1 0 0 0 0 1 0\n", "found no rotation in pose 1"),
        ("-1 0 0 0 0 1 0 0 0 0 1 0\n", "found no rotation in pose 1"),
        ("30 0 0 0 0 30 0 0 0 0 30 0\n", "found no rotation in pose 1"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_damaged_files_are_named(tmp_path, text, message):
    path = tmp_path / "pose.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=f"pose.txt:? .*{message}"):
        pose_files.read_trajectory(path)


@pytest.mark.parametrize("numbered", [False, True])
def test_a_pipe_is_read(numbered):
    path, (reader, writer) = make_path(), os.pipe()
    lines = pose_files.format_kitti(path).splitlines()
    text = "".join(f"{number} {line}\n" if numbered else f"{line}\n" for number, line in enumerate(lines))
    with os.fdopen(reader):
        with os.fdopen(writer, "w") as file:
            file.write(text)
        np.testing.assert_allclose(pose_files.read_trajectory(f"/dev/fd/{reader}").poses, path, rtol=1e-6, atol=1e-6)


def test_the_mark_of_windows_before_utf_8_is_no_number(tmp_path):
    text = pose_files.format_tum(make_path(), np.arange(40) / 10)
    (tmp_path / "tum.txt").write_text(text, encoding="utf-8-sig")
    assert len(pose_files.read_trajectory(tmp_path / "tum.txt").poses) == 40


def test_rounding_as_of_long_chains_in_float32_is_taken(tmp_path):
    poses = make_path()
    poses[:, :3, :3] *= 1.001
    (tmp_path / "kitti.txt").write_text("\n" + pose_files.format_kitti(poses) + "  \n")
    np.testing.assert_allclose(pose_files.read_kitti(tmp_path / "kitti.txt"), poses, rtol=1e-5, atol=1e-6)


def test_times_of_a_trajectory_may_be_in_any_unit(tmp_path):
    times = 1403636579763555584.0 + 5e7 * np.arange(40)
    (tmp_path / "tum.txt").write_text(pose_files.format_tum(make_path(), times))
    np.testing.assert_array_equal(pose_files.read_tum(tmp_path / "tum.txt").times_s, times)


@pytest.mark.parametrize(("text", "found"), [("0\n0.2\n0.1\n", "0.1 after 0.2"), ("0.1\n0.1\n", "0.1 after 0.1")])
def test_times_that_do_not_rise_are_named(tmp_path, text, found):
    (tmp_path / "times.txt").write_text(text)
    with pytest.raises(UserError, match=f"times.txt: expected ascending times, found {found}"):
        pose_files.read_times(tmp_path / "times.txt")
