import json
import subprocess
import sys
from pathlib import Path

import pytest

KITTI_EVAL = Path(__file__).parents[2] / "kitti_eval"


def run(name, *options):
    command = [sys.executable, str(KITTI_EVAL / f"{name}.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


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
