import re
from pathlib import Path

from forked import run_forked
from kitti_tree import write_images
from sfmlearner_tf.data.splits import read_static_frames, static_frames

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


def write_speeds(tree, drive, speeds):
    """A drive of frames at these speeds, m/s; without calibration, which is not needed."""
    write_images(tree / drive[:10] / drive / "image_02" / "data", range(len(speeds)))
    folder = tree / drive[:10] / drive / "oxts" / "data"
    folder.mkdir(parents=True)
    for number, speed in enumerate(speeds):
        (folder / f"{number:010d}.txt").write_text(" ".join(["0"] * 8 + [str(speed)] + ["0"] * 21))
    return folder


def test_a_frame_without_its_speed_is_kept_and_told(tmp_path):
    folder = write_speeds(tmp_path / "raw", "2011_09_26_drive_0001_sync", [0.1, 0.2, 9, 0.3, 9])
    (folder / "0000000001.txt").unlink()
    result = find(tmp_path / "raw", tmp_path / "static.txt")
    assert result.returncode == 0, result.stderr
    assert "frames without a speed in oxts, kept: 2011_09_26_drive_0001_sync_02: 1 of 5" in result.stdout
    assert read_static_frames(str(tmp_path / "static.txt")) == {"2011_09_26_drive_0001_sync": [0, 3]}


def test_precision_counts_drives_that_the_list_lacks(tmp_path):
    published = static_frames()["2011_09_26_drive_0009_sync"]
    still = [0.1 if number in published else 9 for number in range(max(published) + 1)]
    write_speeds(tmp_path / "raw", "2011_09_26_drive_0009_sync", still)
    write_speeds(tmp_path / "raw", "2011_09_26_drive_0001_sync", [0.1] * len(published))
    result = find(tmp_path / "raw", tmp_path / "static.txt")
    assert result.returncode == 0, result.stderr
    assert "published list, 2 drives: precision 0.500, recall 1.000" in result.stdout


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
