import json
from pathlib import Path

import numpy as np
import pytest

from forked import run_forked
from kitti_eval.pose_files import format_kitti, format_tum, read_kitti, read_tum
from kitti_eval.snippets import cut_snippets, write_snippets
from kitti_eval.trajectory import chain_motions, pose_vectors_to_matrices

COMMAND = str(Path(__file__).parents[2] / "kitti_eval" / "eval_odometry.py")
FRAMES = 150


def evaluate(*options):
    return run_forked(COMMAND, *map(str, options))


@pytest.fixture
def truth(tmp_path):
    """150 m of winding road: truth.txt in KITTI's format, times.txt beside it; the poses are returned."""
    vectors = np.zeros((FRAMES - 1, 6))
    vectors[:, 2], vectors[:, 4] = 1.03, 0.03 * np.sin(np.arange(FRAMES - 1) / 10)
    poses = chain_motions(pose_vectors_to_matrices(vectors))
    (tmp_path / "truth.txt").write_text(format_kitti(poses))
    (tmp_path / "times.txt").write_text("".join(f"{frame / 10}\n" for frame in range(FRAMES)))
    return poses


def test_snippets_of_another_scale(tmp_path, truth):
    pieces = cut_snippets(truth, 5)
    pieces[..., :3, 3] /= 30
    write_snippets(tmp_path / "pred", pieces, np.arange(FRAMES) / 10)
    done = evaluate(
        f"--gtruth_file={tmp_path / 'truth.txt'}",
        f"--times_file={tmp_path / 'times.txt'}",
        f"--pred={tmp_path / 'pred'}",
        f"--output_json={tmp_path / 'errors.json'}",
        f"--output_kitti={tmp_path / 'kitti.txt'}",
        f"--output_tum={tmp_path / 'tum.txt'}",
        f"--plot_dir={tmp_path / 'plots'}",
        "--scale_policy=none",
    )
    assert done.returncode == 0, done.stderr
    header, *rows, _ = done.stdout.splitlines()
    assert header.split() == ["alignment", "ate_rmse", "t_err", "r_err", "rpe_t", "rpe_r"]
    assert [row.split()[0] for row in rows] == ["none", "scale", "6dof", "7dof"]
    errors = json.loads((tmp_path / "errors.json").read_text())
    assert errors["none"]["segments"]["t_err_percent"] == pytest.approx(100 * 29 / 30, abs=2)
    assert errors["7dof"]["ate_rmse_m"] < 0.02
    assert list(errors["7dof"]["by_length_m"]) == ["100"]
    np.testing.assert_allclose(read_kitti(tmp_path / "kitti.txt")[:, :3, 3], truth[:, :3, 3], atol=0.05)
    np.testing.assert_allclose(read_tum(tmp_path / "tum.txt").poses[:, :3, 3], truth[:, :3, 3], atol=0.05)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["error_by_length.png", "path.png"]
    assert (tmp_path / "plots" / "path.png").read_bytes().startswith(b"\x89PNG")


def test_a_prediction_with_gaps_is_matched_by_time(tmp_path, truth):
    kept = np.r_[0:50, 60:FRAMES]
    (tmp_path / "pred.txt").write_text(format_tum(truth[kept], kept / 10))
    truth_flags = [f"--gtruth_file={tmp_path / 'truth.txt'}", f"--times_file={tmp_path / 'times.txt'}"]
    done = evaluate(*truth_flags, f"--pred={tmp_path / 'pred.txt'}", f"--output_json={tmp_path / 'errors.json'}")
    assert done.returncode == 0, done.stderr
    assert f"over {len(kept)} frames" in done.stdout
    assert json.loads((tmp_path / "errors.json").read_text())["none"]["ate_rmse_m"] < 1e-4
    # Without times the two cannot be matched.
    done = evaluate(truth_flags[0], f"--pred={tmp_path / 'pred.txt'}")
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: {tmp_path / 'pred.txt'}: expected 150 poses, as many as the ground truth has, found 140\n"
    )


def test_other_mistakes_are_refused_in_one_line(tmp_path, truth):
    truth_file = f"--gtruth_file={tmp_path / 'truth.txt'}"
    (tmp_path / "short.txt").write_text("0\n1\n")
    (tmp_path / "flat.txt").write_text("1 0 0 0 0 0 0 0 0 0 1 0\n" * FRAMES)
    (tmp_path / "far.txt").write_text("1 0 0 1e200 0 1 0 0 0 0 1 0\n" * FRAMES)
    for options, message in (
        ([truth_file, f"--pred={tmp_path / 'none.txt'}"], "none.txt: expected a text file of numbers; No such file"),
        ([truth_file, f"--pred={tmp_path / 'truth.txt'}", f"--output_tum={tmp_path / 'o'}"], "has times"),
        ([truth_file, f"--pred={tmp_path / 'flat.txt'}"], "flat.txt: expected rotations and positions"),
        ([truth_file, f"--pred={tmp_path / 'far.txt'}"], "far.txt: expected poses in metres, found the number 1e+200"),
        (
            [truth_file, f"--pred={tmp_path / 'truth.txt'}", f"--times_file={tmp_path / 'short.txt'}"],
            "expected 150 times",
        ),
    ):
        done = evaluate(*options)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
