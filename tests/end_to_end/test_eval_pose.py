import json
import os
from pathlib import Path

import numpy as np
import pytest

from forked import run_forked
from kitti_eval.pose_files import format_kitti
from kitti_eval.snippets import write_snippets
from kitti_eval.trajectory import chain_motions, pose_vectors_to_matrices

KITTI_EVAL = Path(__file__).parents[2] / "kitti_eval"


def run(name, *options):
    return run_forked(str(KITTI_EVAL / f"{name}.py"), *map(str, options))


def test_golden_line_of_the_release(shared, tmp_path):
    golden, out = shared / "golden" / "eval_pose", tmp_path / "ate.json"
    # The release skipped every file when a folder came without its last slash.
    done = run("eval_pose", f"--gtruth_dir={golden}/gt", f"--pred_dir={golden}/pred/", f"--output_json={out}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "ATE mean: 0.0574, std: 0.0320"
    expected, found = json.loads((golden / "expected.json").read_text()), json.loads(out.read_text())
    assert found["mean"] == pytest.approx(expected["ate_mean"], abs=1e-9)
    assert found["std"] == pytest.approx(expected["ate_std"], abs=1e-9)
    assert len(found["ate"]) == 100


def test_ground_truth_of_a_sequence_evaluates_to_nothing(shared, tmp_path):
    dataset = f"--dataset_dir={shared / 'data' / 'kitti_odometry'}"
    made = run("make_pose_ground_truth", dataset, "--test_seq=10", "--seq_length=7", f"--output_dir={tmp_path}")
    assert made.returncode == 0, made.stderr
    assert len(sorted(tmp_path.glob("*.txt"))) == 1201 - 6
    done = run("eval_pose", f"--gtruth_dir={tmp_path}", f"--pred_dir={tmp_path}")
    assert "ATE mean: 0.0000, std: 0.0000" in done.stdout


def test_mean_odometry_gives_the_row_of_the_paper(shared):
    done = run("eval_mean_odometry", f"--dataset_dir={shared / 'data' / 'kitti_odometry'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "sequence 09: ATE 0.032 +- 0.026 over 1587 snippets; published 0.032 +- 0.026",
        "sequence 10: ATE 0.024 +- 0.023 over 1197 snippets; published 0.028 +- 0.023",
    ]


def test_names_need_not_be_valid_utf_8(tmp_path):
    odd, times_s = tmp_path / os.fsdecode(b"caf\xe9"), np.arange(3) / 10
    write_snippets(odd, [np.tile(np.eye(4), (3, 1, 1))], times_s)
    (odd / "000000.txt").rename(odd / os.fsdecode(b"\xff.txt"))
    done = run("eval_pose", f"--gtruth_dir={odd}", f"--pred_dir={odd}", f"--output_json={odd / 'ate.json'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((odd / "ate.json").read_text())["ate"] == {os.fsdecode(b"\xff.txt"): 0}


def test_sequences_may_be_given_by_number_alone(tmp_path):
    steps = np.random.RandomState(0).normal([0, 0, 1, 0, 0, 0], 0.05, (11, 6))
    (tmp_path / "poses").mkdir()
    for name in ("00", "03"):
        poses = chain_motions(pose_vectors_to_matrices(steps))
        (tmp_path / "poses" / f"{name}.txt").write_text(format_kitti(poses))
    done = run("eval_mean_odometry", f"--dataset_dir={tmp_path}", "--train_seqs=0", "--test_seqs=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sequence 03: ATE 0.")
    done = run("eval_mean_odometry", f"--dataset_dir={tmp_path}", "--train_seqs=0", "--test_seqs=../poses/03")
    assert done.stderr == "error: --test_seqs: expected numbers of sequences such as 9,10, found '../poses/03'\n"


def test_mistakes_are_refused_in_one_line(tmp_path):
    for done, message in (
        (run("eval_pose", f"--gtruth_dir={tmp_path}", f"--pred_dir={tmp_path}"), "expected a folder of snippets"),
        (run("make_pose_ground_truth", f"--dataset_dir={tmp_path}", f"--output_dir={tmp_path}"), "09.txt: expected"),
        (run("eval_mean_odometry", f"--dataset_dir={tmp_path}"), "00.txt: expected a text file of numbers"),
    ):
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
