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
    assert [row.split()[0] for row in rows] == ["none", "scale", "scale_umeyama", "6dof", "7dof"]
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
    assert "150 true poses, of which 140 are compared" in done.stdout
    # Without times numbers of frames do it, as in 13 columns.
    lines = format_kitti(truth[kept]).splitlines()
    (tmp_path / "pred.txt").write_text("".join(f"{frame} {line}\n" for frame, line in zip(kept, lines)))
    done = evaluate(truth_flags[0], f"--pred={tmp_path / 'pred.txt'}", f"--output_json={tmp_path / 'errors.json'}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "errors.json").read_text())["none"]["ate_rmse_m"] < 1e-4
    # With neither, one by one from the start.
    (tmp_path / "pred.txt").write_text(format_kitti(truth[:140]))
    done = evaluate(truth_flags[0], f"--pred={tmp_path / 'pred.txt'}", f"--output_json={tmp_path / 'errors.json'}")
    assert done.returncode == 0, done.stderr
    assert "over 140 frames" in done.stdout
    assert json.loads((tmp_path / "errors.json").read_text())["none"]["ate_rmse_m"] < 1e-4


def test_poses_are_associated_as_in_tum_s_own_data(tmp_path, truth):
    """A truth at other times that repeats one, and predicted poses before and after it."""
    times_s = np.arange(FRAMES) / 10
    table = format_tum(truth[3:147], times_s[3:147] + 0.004).splitlines()
    (tmp_path / "tum_truth.txt").write_text(
        "# time x y z q\n" + "\n".join([*table[:50], table[49], *table[50:]]) + "\n"
    )
    (tmp_path / "pred.txt").write_text(format_tum(truth, times_s))
    flags = (f"--gtruth_file={tmp_path / 'tum_truth.txt'}", f"--pred={tmp_path / 'pred.txt'}")
    done = evaluate(*flags, f"--output_json={tmp_path / 'errors.json'}")
    assert done.returncode == 0, done.stderr
    assert "over 144 frames" in done.stdout
    assert "6 of 150 predicted poses left out: no truth at their time" in done.stdout
    assert json.loads((tmp_path / "errors.json").read_text())["6dof"]["ate_rmse_m"] < 1e-4
    done = evaluate(*flags, "--max_time_difference=0.001")
    assert done.returncode == 1
    assert "expected at least two poses with truth, found 0" in done.stderr


def test_a_trajectory_is_cut_into_snippets_of_its_frames(tmp_path, truth):
    """The paper's ATE of a whole trajectory with a gap, of half the scale."""
    data = tmp_path / "kitti_odometry"
    (data / "poses").mkdir(parents=True)
    (data / "sequences" / "09").mkdir(parents=True)
    (data / "poses" / "09.txt").write_text(format_kitti(truth))
    (data / "sequences" / "09" / "times.txt").write_text((tmp_path / "times.txt").read_text())
    kept = np.r_[2:50, 60:FRAMES]
    halved = truth.copy()
    halved[:, :3, 3] /= 2
    kitti = [f"{frame} {line}\n" for frame, line in zip(kept, format_kitti(halved[kept]).splitlines())]
    files = {"numbered.txt": "".join(kitti), "timed.txt": format_tum(halved[kept], kept / 10)}
    cut = str(Path(COMMAND).with_name("make_pose_ground_truth.py"))
    assert run_forked(cut, f"--dataset_dir={data}", f"--output_dir={tmp_path / 'gt'}").returncode == 0
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        pred = tmp_path / Path(name).stem
        flags = (f"--dataset_dir={data}", f"--trajectory_file={tmp_path / name}", f"--output_dir={pred}")
        done = run_forked(cut, *flags)
        assert done.returncode == 0, done.stderr
        names = sorted(path.name for path in pred.glob("*.txt"))
        assert names == [f"{first:06d}.txt" for first in [*range(2, 46), *range(60, 146)]]
        done = run_forked(
            str(Path(COMMAND).with_name("eval_pose.py")), f"--gtruth_dir={tmp_path / 'gt'}", f"--pred_dir={pred}"
        )
        assert done.returncode == 0, done.stderr
        assert "0.0000" in done.stdout
    (tmp_path / "timed.txt").write_text(format_tum(truth[:20], np.arange(20) / 10 + 0.05))
    done = run_forked(
        cut, f"--dataset_dir={data}", f"--trajectory_file={tmp_path / 'timed.txt'}", f"--output_dir={tmp_path / 'none'}"
    )
    assert done.returncode == 1
    assert "timed.txt: expected the times of the ground truth" in done.stderr


def test_other_mistakes_are_refused_in_one_line(tmp_path, truth):
    truth_file = f"--gtruth_file={tmp_path / 'truth.txt'}"
    (tmp_path / "short.txt").write_text("0\n1\n")
    (tmp_path / "flat.txt").write_text("1 0 0 0 0 0 0 0 0 0 1 0\n" * FRAMES)
    (tmp_path / "numbers.txt").write_text("0 1 0 0 0 0 1 0 0 0 0 1 0\n" * FRAMES)
    (tmp_path / "long.txt").write_text(format_kitti(np.concatenate([truth, truth[:1]])))
    (tmp_path / "far.txt").write_text("1 0 0 1e200 0 1 0 0 0 0 1 0\n" * FRAMES)
    for options, message in (
        ([truth_file, f"--pred={tmp_path / 'none.txt'}"], "none.txt: expected a text file of numbers; No such file"),
        ([truth_file, f"--pred={tmp_path / 'truth.txt'}", f"--output_tum={tmp_path / 'o'}"], "has times"),
        ([truth_file, f"--pred={tmp_path / 'flat.txt'}"], "flat.txt: expected rotations and positions"),
        ([truth_file, f"--pred={tmp_path / 'numbers.txt'}"], "numbers.txt: expected numbers of frames that rise"),
        ([truth_file, f"--pred={tmp_path / 'long.txt'}"], "long.txt: expected at most 150 poses, as many as the"),
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
