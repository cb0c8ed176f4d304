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
    (tmp_path / "pred.txt").write_text(number(kept, truth[kept]))
    done = evaluate(truth_flags[0], f"--pred={tmp_path / 'pred.txt'}", f"--output_json={tmp_path / 'errors.json'}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "errors.json").read_text())["none"]["ate_rmse_m"] < 1e-4
    # With neither, one by one from the start.
    (tmp_path / "pred.txt").write_text(format_kitti(truth[:140]))
    done = evaluate(truth_flags[0], f"--pred={tmp_path / 'pred.txt'}", f"--output_json={tmp_path / 'errors.json'}")
    assert done.returncode == 0, done.stderr
    assert "over 140 frames" in done.stdout
    assert json.loads((tmp_path / "errors.json").read_text())["none"]["ate_rmse_m"] < 1e-4


def number(frames, poses):
    """A KITTI file of 13 columns."""
    return "".join(f"{frame} {line}\n" for frame, line in zip(frames, format_kitti(poses).splitlines()))


def test_a_truth_with_numbers_is_matched_by_number(tmp_path, truth):
    """Both with gaps of their own; against itself; and by snippets, which are numbered, too."""
    kept, of_pred = np.r_[5:50, 60:FRAMES], np.r_[0:40, 55:120]
    (tmp_path / "numbered.txt").write_text(number(kept, truth[kept]))
    (tmp_path / "pred.txt").write_text(number(of_pred, truth[of_pred]))
    write_snippets(tmp_path / "snippets", cut_snippets(truth, 5), np.arange(FRAMES) / 10)
    for name, compared in (("pred.txt", 35 + 60), ("numbered.txt", len(kept)), ("snippets", len(kept))):
        flags = (f"--gtruth_file={tmp_path / 'numbered.txt'}", f"--pred={tmp_path / name}")
        done = evaluate(*flags, f"--output_json={tmp_path / 'errors.json'}")
        assert done.returncode == 0, done.stderr
        assert f"over {compared} frames" in done.stdout
        assert json.loads((tmp_path / "errors.json").read_text())["none"]["ate_rmse_m"] < 0.01


def test_gaps_that_cannot_be_seen_are_refused(tmp_path, truth):
    """As in keyframes with times, where the truth has none, and in poses without numbers, where the truth has some."""
    kept = np.arange(0, FRAMES, 3)
    files = {
        "keyframes.txt": format_tum(truth[kept], kept / 10),
        "numbered.txt": number(kept, truth[kept]),
        "bare.txt": format_kitti(truth[kept]),
        "from_1.txt": number(np.arange(1, FRAMES + 1), truth),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for gtruth, pred, message in (
        ("truth", "keyframes", "expected --times_file, found 50 poses with times and 150 true ones without"),
        ("numbered", "bare", "expected numbers of frames in the first of 13 columns, as in the truth, found none"),
        ("truth", "from_1", "expected frames 0 to 149, found 150"),
    ):
        done = evaluate(f"--gtruth_file={tmp_path / gtruth}.txt", f"--pred={tmp_path / pred}.txt")
        assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / pred}.txt: {message}\n")


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
    assert "6 of 150 predicted poses left out: no truth for them" in done.stdout
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
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
