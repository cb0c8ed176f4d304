import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kitti_eval import snippets
from kitti_eval.errors import UserError
from kitti_eval.pose_files import TimedPoses, format_tum
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


@pytest.mark.parametrize("length", [3, 5, 7])
def test_each_motion_comes_from_the_snippet_with_its_frame_in_the_middle(length):
    """Predictions of one motion differ from snippet to snippet, which tells the snippets apart."""
    random, count = np.random.RandomState(1), 12 - length + 1
    motions = pose_vectors_to_matrices(random.normal([0, 0, 1, 0, 0, 0], 0.1, (count, length - 1, 6)))
    predicted = [TimedPoses(chain_motions(motions[first]), (first + np.arange(length)) / 10) for first in range(count)]
    middle = length // 2
    chosen = [(0, frame) for frame in range(middle + 1)]
    chosen += [(first, middle) for first in range(1, count)]
    chosen += [(count - 1, step) for step in range(middle + 1, length - 1)]
    expected = chain_motions(np.array([motions[first, step] for first, step in chosen]))
    chained = snippets.chain_snippets(predicted)
    np.testing.assert_allclose(chained.poses, expected, atol=1e-12)
    np.testing.assert_allclose(chained.times_s, np.arange(12) / 10)


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


def test_others_systems_may_lack_poses(tmp_path, truth):
    """Of three of five the error is that of these; one alone has none, and is no 0 in the mean."""
    snippets.write_snippets(tmp_path / "pred", snippets.cut_snippets(make_path(), 5), np.arange(12) / 10)
    true = make_relative(make_path()[4:9])
    rough = true.copy()
    rough[:, :3, 3] += np.random.RandomState(0).normal(0, 0.1, (5, 3))
    (tmp_path / "pred" / "000004.txt").write_text(format_tum(rough[::2], np.array([0.4, 0.6, 0.8])))
    (tmp_path / "pred" / "000005.txt").write_text(format_tum(rough[:1], np.array([0.5])))
    ates, summary = snippets.evaluate_snippets(truth, tmp_path / "pred")
    assert summary.unpredicted == ["000005.txt"]
    assert summary.snippets == len(ates) == 7
    gt, pred = true[::2, :3, 3], rough[::2, :3, 3] - rough[0, :3, 3]
    error = (gt * pred).sum() / (pred**2).sum() * pred - gt
    assert ates["000004.txt"] == pytest.approx(np.sqrt((error**2).sum()) / 3, rel=1e-3)
    for path in (tmp_path / "pred").glob("*.txt"):
        path.write_text(format_tum(rough[:1], np.array([int(path.stem) / 10])))
    with pytest.raises(UserError, match="pred: expected snippets of at least two poses, found none"):
        snippets.evaluate_snippets(truth, tmp_path / "pred")


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


def test_new_snippets_take_the_place_of_all_before_and_of_nothing_else(truth):
    (truth / "notes.md").write_text("mine")
    snippets.write_snippets(truth, snippets.cut_snippets(make_path(), 7), np.arange(12) / 10)
    assert [path.name for path in sorted(truth.glob("*.txt"))] == [f"{first:06d}.txt" for first in range(6)]
    assert {len(snippet.poses) for snippet in snippets.read_snippets(truth)} == {7}
    assert (truth / "notes.md").read_text() == "mine"


def test_text_files_of_others_are_neither_mixed_in_nor_overwritten(tmp_path, truth):
    foreign, mixed = tmp_path / "000000.txt", truth / "notes.txt"
    for path in (foreign, mixed):
        path.write_text("mine")
        with pytest.raises(UserError, match=rf"expected no text files but .*, found {path.name}"):
            snippets.write_snippets(path.parent, snippets.cut_snippets(make_path(), 7), np.arange(12) / 10)
        assert path.read_text() == "mine"
    assert len(list(truth.glob("*.txt"))) == 8 + 1


def test_a_fault_before_the_last_snippet_leaves_those_before_as_they_were(truth):
    def predict():
        yield from snippets.cut_snippets(make_path()[::-1], 5)[:3]
        raise UserError("damaged image")

    before = {path: path.read_text() for path in truth.iterdir()}
    with pytest.raises(UserError, match="damaged image"):
        snippets.write_snippets(truth, predict(), np.arange(12) / 10)
    assert {path: path.read_text() for path in truth.iterdir()} == before


def test_a_killed_command_leaves_no_mixture_that_evaluates_and_finishes_when_run_again(tmp_path, truth):
    pred, count = tmp_path / "pred", 500
    snippets.write_snippets(pred, snippets.cut_snippets(make_path(), 5), np.arange(12) / 10)
    code = f"""
import numpy as np
from pathlib import Path
from kitti_eval.snippets import write_snippets
write_snippets(Path({str(pred)!r}), np.broadcast_to(np.eye(4), ({count}, 5, 4, 4)), np.arange({count + 4}) / 10)
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    while not (pred / "000008.txt").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    assert (pred / "000000.txt").exists()
    for read in (lambda: snippets.read_snippets(pred), lambda: snippets.evaluate_snippets(truth, pred)):
        with pytest.raises(UserError, match="pred: expected all snippets, found those of a command that was stopped"):
            read()
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
    assert len(snippets.read_snippets(pred)) == count


def test_two_commands_do_not_write_to_one_folder(truth):
    code = f"""
from pathlib import Path
from kitti_eval.locks import lock_folder
with lock_folder({str(truth)!r}):
    print(flush=True)
    input()
"""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1], **streams) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="truth: another process works in this folder"):
            snippets.write_snippets(truth, snippets.cut_snippets(make_path(), 5), np.arange(12) / 10)
        other.communicate(b"\n")


@pytest.mark.parametrize("texts", [[""], [], ["09", ""], [".."], ["9", "/tmp"], ["-1"], ["1.5"], ["9" * 5000], ["٣"]])
def test_sequences_are_numbers(texts):
    with pytest.raises(UserError, match="--test_seqs: expected numbers of sequences such as 9,10, found '"):
        snippets.name_sequences("test_seqs", texts)


def test_sequences_are_named_by_two_digits():
    assert snippets.name_sequences("test_seqs", ["9", "09", "10", "123"]) == ["09", "09", "10", "123"]


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


def test_mean_path_by_hand():
    """Of two sequences with one and two snippets: each snippet counts the same."""
    poses = np.tile(np.eye(4), (3, 3, 1, 1))
    poses[:, :, :3, 3] = [
        [[0, 0, 0], [1, 10, 100], [2, 20, 200]],
        [[0, 0, 0], [4, 40, 400], [5, 50, 500]],
        [[0, 0, 0], [4, 10, 700], [8, 80, 800]],
    ]
    mean = snippets.compute_mean_positions([poses[:1], poses[1:]])
    np.testing.assert_allclose(mean, [[0, 0, 0], [3, 20, 400], [5, 50, 500]])
