import json

import numpy as np
import pytest

from kitti_eval import snippets
from kitti_eval.errors import UserError
from kitti_eval.pose_files import format_tum
from kitti_eval.trajectory import chain_motions, make_relative, pose_vectors_to_matrices


def make_path(frames: int = 12) -> np.ndarray:
    steps = np.random.RandomState(0).normal([0, 0, 1, 0, 0, 0], 0.05, (frames - 1, 6))
    return chain_motions(pose_vectors_to_matrices(steps))


@pytest.fixture
def truth(tmp_path):
    folder = tmp_path / "truth"
    snippets.write_snippets(folder, snippets.cut_snippets(make_path(), 5), np.arange(12) / 10)
    return folder


def test_golden_error_of_the_release(shared):
    golden = shared / "golden" / "eval_pose"
    expected = json.loads((golden / "expected.json").read_text())
    _, summary = snippets.evaluate_snippets(golden / "gt", golden / "pred")
    assert summary.snippets == expected["files"]
    assert summary.mean == pytest.approx(expected["ate_mean"], abs=1e-12)
    assert summary.std == pytest.approx(expected["ate_std"], abs=1e-12)
    assert not summary.unpredicted


def test_text_of_the_release_for_sequence_10(shared, tmp_path):
    poses, times_s = snippets.read_sequence(shared / "data" / "kitti_odometry", "10")
    snippets.write_snippets(tmp_path, snippets.cut_snippets(poses[:104], 5), times_s)
    golden = sorted((shared / "golden" / "eval_pose" / "gt").glob("*.txt"))
    assert [path.name for path in sorted(tmp_path.glob("*.txt"))] == [path.name for path in golden]
    for path in golden:
        # The sign of a zero is noise of the linear algebra library.
        ours, expected = (
            text.replace("-0.000000", "0.000000") for text in ((tmp_path / path.name).read_text(), path.read_text())
        )
        assert ours == expected


@pytest.mark.parametrize("length", [3, 5, 7])
def test_snippets_begin_at_the_identity_and_keep_the_motion(length):
    path = make_path()
    pieces = snippets.cut_snippets(path, length)
    assert pieces.shape == (12 - length + 1, length, 4, 4)
    np.testing.assert_allclose(pieces[:, 0], np.tile(np.eye(4), (len(pieces), 1, 1)), atol=1e-12)
    np.testing.assert_allclose(path[2] @ pieces[2, -1], path[1 + length], atol=1e-12)


@pytest.mark.parametrize("length", [1, 4, 13])
def test_other_lengths_are_refused(length):
    with pytest.raises(ValueError, match=f"odd number of frames from 3 to 12, got {length}"):
        snippets.cut_snippets(make_path(), length)


@pytest.mark.parametrize("length", [3, 5])
def test_chained_snippets_give_back_the_trajectory(tmp_path, length):
    path, times_s = make_path(), np.arange(12) / 10
    snippets.write_snippets(tmp_path, snippets.cut_snippets(path, length), times_s)
    chained = snippets.chain_snippets(snippets.read_snippets(tmp_path))
    np.testing.assert_allclose(chained.poses, make_relative(path), atol=5e-5)
    np.testing.assert_allclose(chained.times_s, times_s)


def test_snippets_of_any_scale_can_be_scaled_to_the_truth(tmp_path):
    path = make_path()
    pieces = snippets.cut_snippets(path, 5)
    pieces[..., :3, 3] *= np.random.RandomState(0).uniform(1, 2, (len(pieces), 1, 1))
    snippets.write_snippets(tmp_path, pieces, np.arange(12) / 10)
    read = snippets.read_snippets(tmp_path)
    np.testing.assert_allclose(snippets.chain_snippets(read, path).poses, make_relative(path), atol=5e-5)
    assert np.abs(snippets.chain_snippets(read).poses - make_relative(path)).max() > 0.5


def test_a_prediction_that_stands_still_has_the_length_of_the_path_as_error(tmp_path, truth):
    still = np.tile(np.eye(4), (8, 5, 1, 1))
    snippets.write_snippets(tmp_path / "still", still, np.arange(12) / 10)
    ates, _ = snippets.evaluate_snippets(truth, tmp_path / "still")
    expected = np.sqrt(np.sum(snippets.cut_snippets(make_path(), 5)[3, :, :3, 3] ** 2)) / 5
    assert ates["000003.txt"] == pytest.approx(expected, abs=1e-5)


def test_missing_predictions_are_counted_and_named(tmp_path, truth):
    pred = tmp_path / "pred"
    snippets.write_snippets(pred, snippets.cut_snippets(make_path(), 5)[:6], np.arange(12) / 10)
    _, summary = snippets.evaluate_snippets(truth, pred)
    assert summary.snippets == 6
    assert summary.unpredicted == ["000006.txt", "000007.txt"]
    with pytest.raises(UserError, match=r"000006.txt: there is no ground truth of this name"):
        snippets.evaluate_snippets(pred, truth)


def test_other_times_are_named(tmp_path, truth):
    snippets.write_snippets(tmp_path / "late", snippets.cut_snippets(make_path(), 5), np.arange(12) / 10 + 0.02)
    with pytest.raises(UserError, match=r"late/000000.txt: expected the times of the ground truth; 0.\d+ s is not"):
        snippets.evaluate_snippets(truth, tmp_path / "late")


def test_times_are_matched_within_a_hundredth_of_a_second(tmp_path):
    found = snippets.match_times(np.array([0, 0.1, 0.2, 0.3]), np.array([0.095, 0.304]), tmp_path)
    assert found.tolist() == [1, 3]
    assert snippets.match_times(np.array([0.5]), np.array([0.501]), tmp_path).tolist() == [0]


def test_gaps_and_mixed_lengths_cannot_be_chained(truth):
    (truth / "000004.txt").unlink()
    with pytest.raises(UserError, match=r"without a gap from 000000.txt on, found no 000004.txt"):
        snippets.read_snippets(truth)
    (truth / "000004.txt").write_text(format_tum(make_path()[:3], np.arange(3) / 10))
    with pytest.raises(UserError, match=r"snippets of one length, found \[3, 5\] frames"):
        snippets.read_snippets(truth)


def test_snippets_of_another_run_are_neither_mixed_in_nor_overwritten(truth):
    before = (truth / "000000.txt").read_text()
    with pytest.raises(UserError, match=r"truth: expected no text files but these 6 snippets, found 000006\.txt"):
        snippets.write_snippets(truth, snippets.cut_snippets(make_path(10)[::-1], 5), np.arange(10) / 10)
    assert (truth / "000000.txt").read_text() == before


def test_an_empty_folder_is_named(tmp_path, truth):
    with pytest.raises(UserError, match="expected a folder of snippets"):
        snippets.evaluate_snippets(truth, tmp_path / "none")


def test_poses_and_times_must_be_equally_many(tmp_path):
    (tmp_path / "poses").mkdir()
    (tmp_path / "sequences" / "03").mkdir(parents=True)
    (tmp_path / "poses" / "03.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    (tmp_path / "sequences" / "03" / "times.txt").write_text("0\n0.1\n")
    with pytest.raises(UserError, match=r"03.txt: expected 2 poses, one per time in .*times.txt, found 1"):
        snippets.read_sequence(tmp_path, "03")
