import re
from pathlib import Path

from forked import run_forked
from sfmlearner_tf.data.splits import read_static_frames

COMMAND = str(Path(__file__).parents[2] / "tools" / "find_static_frames.py")


def find(dataset_dir, output, *options):
    arguments = [f"--dataset_dir={dataset_dir}", "--dataset_name=kitti_raw", f"--output={output}", "--num_threads=1"]
    return run_forked(COMMAND, *arguments, *options)


def test_the_real_drive_against_the_published_list(shared, tmp_path):
    result = find(shared / "data" / "kitti_raw", tmp_path / "static.txt")
    assert result.returncode == 0, result.stderr
    match = re.search(r"1 drives: precision ([\d.]+), recall ([\d.]+)", result.stdout)
    assert match
    assert float(match[1]) > 0.95
    assert float(match[2]) > 0.8
    found = read_static_frames(str(tmp_path / "static.txt"))
    assert set(range(60, 70)) <= set(found["2011_09_26_drive_0052_sync"])
    assert (tmp_path / "static.txt").read_text().startswith("2011_09_26 2011_09_26_drive_0052_sync 00000000")


def test_mistakes_end_in_one_line(tmp_path):
    for dataset_dir, output, message in (
        ("/nowhere", tmp_path / "static.txt", "--dataset_dir: expected recordings, found no such folder: /nowhere"),
        (tmp_path, tmp_path / "static.txt", "expected frames of kitti_raw, found none"),
    ):
        result = find(dataset_dir, output)
        assert result.returncode == 1
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not output.exists()
