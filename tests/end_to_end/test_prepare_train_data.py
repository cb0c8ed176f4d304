import json
import shutil

import numpy as np
import pytest
from PIL import Image

from kitti_tree import write_drive
from prepare_command import contents, prepare
from sfmlearner_tf.data.formatted import read_intrinsics, read_split

DRIVE = "2011_09_26_drive_0001_sync"
STATIC_DRIVE = "2011_09_26_drive_0009_sync"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kitti_raw")
    write_drive(folder, DRIVE, range(40))
    write_drive(folder, "2011_09_26_drive_0002_sync", range(4), cameras=["02"])
    return folder


def test_worker_processes_and_one_process_write_the_same_files(dataset, tmp_path):
    alone = prepare(dataset, tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert alone.stderr == ""
    assert "missing camera: 1" in alone.stdout
    assert "84 frames decoded" in alone.stdout
    shared_out = prepare(dataset, tmp_path / "shared", "--num_threads=2")
    assert shared_out.returncode == 0, shared_out.stderr
    assert contents(tmp_path / "alone") == contents(tmp_path / "shared")
    train, val = read_split(str(tmp_path / "alone"), "train"), read_split(str(tmp_path / "alone"), "val")
    assert len(train) + len(val) == 38 + 38 + 2
    with Image.open(val[0].image_path(str(tmp_path / "alone"))) as strip:
        assert strip.size == (3 * 48, 32)


@pytest.mark.parametrize(("split", "expected"), [("kitti_raw_eigen", 76), ("kitti_raw_stereo", 78)])
def test_scenes_of_the_split_are_held_out(dataset, tmp_path, split, expected):
    result = prepare(dataset, tmp_path, dataset_name=split)
    assert result.returncode == 0, result.stderr
    assert f"{expected} examples" in result.stdout
    assert ("scene held out: 1\n    2011_09_26_drive_0002_sync" in result.stdout) == (split == "kitti_raw_eigen")
    assert "missing date: 4" in result.stdout
    # Of the date that is there two drives are, and of one of them one camera.
    camera, whole = (
        ("", "; all of it had 44540 examples") if split == "kitti_raw_eigen" else (" missing camera: 1,", "")
    )
    assert f"{split}: not complete (missing drives: 43,{camera} missing date: 4){whole}" in result.stdout


def test_static_frames_are_left_out_unless_kept(tmp_path):
    write_drive(tmp_path / "data", STATIC_DRIVE, range(376, 395), cameras=["02"])
    left_out = prepare(tmp_path / "data", tmp_path / "moving")
    assert left_out.returncode == 0, left_out.stderr
    # By the table, 376-385, 388, 389 and 393 move; as in the release each is the next one's neighbour.
    assert "static frames left out: 6" in left_out.stdout
    assert "11 examples" in left_out.stdout
    with Image.open(tmp_path / "moving" / f"{STATIC_DRIVE}_02" / "0000000388.jpg") as strip:
        left, right = np.asarray(strip, float)[:, :48], np.asarray(strip, float)[:, 96:]
    # A frame's mean tells its number (see kitti_tree).
    assert (right.mean() - left.mean()) / 3 == pytest.approx(389 - 385, abs=1)
    parted = prepare(tmp_path / "data", tmp_path / "parted", "--split_at_gaps")
    assert "frames in too short sequences: 3" in parted.stdout
    assert "8 examples" in parted.stdout
    assert "17 examples" in prepare(tmp_path / "data", tmp_path / "all", "--keep_static_frames").stdout


def test_the_real_drive_has_76_examples(shared, tmp_path):
    result = prepare(
        shared / "data" / "kitti_raw", tmp_path, "--keep_static_frames", "--img_height=128", "--img_width=416"
    )
    assert result.returncode == 0, result.stderr
    assert "78 frames decoded" in result.stdout
    assert "76 examples" in result.stdout
    intrinsics = read_intrinsics(str(tmp_path / "2011_09_26_drive_0052_sync_02" / "0000000010_cam.txt"))
    assert intrinsics[0, 0] == pytest.approx(721.5377 * 416 / 1242)
    assert intrinsics[1, 2] == pytest.approx(172.854 * 128 / 375)


def test_a_second_run_repairs_and_decodes_only_what_it_needs(dataset, tmp_path):
    assert prepare(dataset, tmp_path).returncode == 0
    whole = contents(tmp_path)
    (tmp_path / f"{DRIVE}_03" / "0000000020.jpg").write_bytes(b"cut short")
    (tmp_path / "train.txt").unlink()
    again = prepare(dataset, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "3 frames decoded" in again.stdout
    assert contents(tmp_path) == whole


def test_a_damaged_frame_is_named_and_ends_with_status_1_after_all_else_is_written(tmp_path):
    write_drive(tmp_path / "data", DRIVE, range(10), cameras=["02"])
    damaged = tmp_path / "data" / "2011_09_26" / DRIVE / "image_02" / "data" / "0000000004.png"
    damaged.write_bytes(damaged.read_bytes()[:500])
    result = prepare(tmp_path / "data", tmp_path / "out")
    assert result.returncode == 1
    assert f"damaged frame: 1\n    {damaged}: " in result.stdout
    assert "3 of 8 examples lost" in result.stderr
    assert "Traceback" not in result.stderr
    listed = "".join((tmp_path / "out" / f"{name}.txt").read_text() for name in ("train", "val"))
    assert sorted(int(line.split()[1]) for line in listed.splitlines()) == [1, 2, 6, 7, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seq_length=4"], "--seq_length: expected an odd number of at least 3, found 4"),
        (["--seq_length=1"], "--seq_length: expected an odd number of at least 3, found 1"),
        (["--img_height=31"], "--img_height: expected 32 to 8192 pixels, found 31"),
        (["--img_width=0"], "--img_width: expected 32 to 8192 pixels, found 0"),
        (["--img_height=100000000"], "--img_height: expected 32 to 8192 pixels, found 100000000"),
        (["--img_width=8192", "--seq_length=9"], "--seq_length: expected strips of at most 65500 pixels in width"),
        (["--shard=1/" + "9" * 5000], "--shard: expected i/n"),
        (["--allow_gaps", "--split_at_gaps"], "expected at most one of --split_at_gaps and --allow_gaps, found both"),
        (["--num_threads=0"], "--num_threads: expected at least 1, found 0"),
        (["--jpeg_quality=101"], "--jpeg_quality"),
        (["--dataset_name=kitty"], "--dataset_name"),
        (["--dataset_dir=/nowhere"], "--dataset_dir: expected a folder, found no such folder: /nowhere"),
        (["--dump_root=/dev/null/out"], "/dev/null/out: expected a folder to write to"),
        (["--dump_root=/dev/null/out", "--shard=1/2"], "dump_root: expected a writable folder"),
        (["--seq_length=41"], "expected 41 consecutive frames of kitti_raw, found none"),
    ],
)
def test_mistakes_end_in_one_line(dataset, tmp_path, options, message):
    result = prepare(dataset, tmp_path / "out", *options)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_other_options_in_the_same_folder_are_refused(dataset, tmp_path):
    assert prepare(dataset, tmp_path).returncode == 0
    whole = contents(tmp_path)
    result = prepare(dataset, tmp_path, "--img_width=64")
    assert result.returncode == 1
    assert "img_width: expected 48" in result.stderr
    assert contents(tmp_path) == whole


def test_quality_of_the_strips(dataset, tmp_path):
    for name, options in (("default", []), ("release", ["--jpeg_quality=75"]), ("fine", ["--jpeg_quality=95"])):
        assert prepare(dataset, tmp_path / name, *options).returncode == 0
    default, release, fine = (contents(tmp_path / name) for name in ("default", "release", "fine"))
    assert default == release
    strips = [name for name in fine if name.endswith(".jpg")]
    assert sum(len(fine[name]) for name in strips) > 1.5 * sum(len(default[name]) for name in strips)
    # A folder from before there was the option holds strips of the release's quality.
    recorded = tmp_path / "default" / "prepared_with.json"
    options = json.loads(recorded.read_text())
    del options["jpeg_quality"]
    recorded.write_text(json.dumps(options))
    assert prepare(dataset, tmp_path / "default").returncode == 0
    assert "jpeg_quality: expected 75" in prepare(dataset, tmp_path / "default", "--jpeg_quality=95").stderr


def test_a_dry_run_counts_and_writes_nothing(dataset, tmp_path):
    result = prepare(dataset, tmp_path / "out", "--dry_run")
    assert result.returncode == 0, result.stderr
    assert f"1      40       38  {DRIVE}_02" in result.stdout
    assert "3      84       78  in all; nothing was written" in result.stdout
    assert "missing camera: 1" in result.stdout
    assert not (tmp_path / "out").exists()


def test_shards_then_merge_equal_one_run(dataset, tmp_path):
    assert prepare(dataset, tmp_path / "one").returncode == 0
    early = prepare(dataset, tmp_path / "shards", "--shard=2/3")
    assert early.returncode == 0, early.stderr
    assert "shard 2/3: 26 examples" in early.stdout
    assert not (tmp_path / "shards" / "train.txt").exists()
    for shard in ("1/3", "3/3"):
        assert prepare(dataset, tmp_path / "shards", f"--shard={shard}").returncode == 0
    merged = prepare(dataset, tmp_path / "shards", "--merge")
    assert merged.returncode == 0, merged.stderr
    assert "0 frames decoded" in merged.stdout
    assert contents(tmp_path / "shards") == contents(tmp_path / "one")


def test_merging_before_all_shards_are_done_names_what_is_missing(dataset, tmp_path):
    assert prepare(dataset, tmp_path, "--shard=1/2").returncode == 0
    result = prepare(dataset, tmp_path, "--merge")
    assert result.returncode == 1
    assert f"    {DRIVE}_03: 37" in result.stdout
    assert "39 of 78 examples lost" in result.stderr


def test_a_list_of_static_frames_is_read(dataset, tmp_path):
    static = tmp_path / "static.txt"
    static.write_text("".join(f"2011_09_26 {DRIVE} {number:010d}\n" for number in range(10, 20)))
    result = prepare(dataset, tmp_path / "out", f"--static_frames_file={static}")
    assert result.returncode == 0, result.stderr
    assert "static frames left out: 20" in result.stdout
    assert "58 examples" in result.stdout
    static.write_text("")
    changed = prepare(dataset, tmp_path / "out", f"--static_frames_file={static}")
    assert "static_frames_file: expected 'sha256" in changed.stderr
    assert "78 examples" in prepare(dataset, tmp_path / "all", "--keep_static_frames").stdout


def test_frames_around_missing_ones_are_neighbours_only_if_asked(tmp_path):
    write_drive(tmp_path / "data", DRIVE, [*range(5), *range(8, 14)], cameras=["02"])
    assert "7 examples" in prepare(tmp_path / "data", tmp_path / "default").stdout
    assert "9 examples" in prepare(tmp_path / "data", tmp_path / "joined", "--allow_gaps").stdout


def test_a_date_without_calibration_ends_with_status_1_after_all_else_is_written(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "data")
    write_drive(tmp_path / "data", "2011_09_28_drive_0001_sync", range(5))
    (tmp_path / "data" / "2011_09_28" / "calib_cam_to_cam.txt").unlink()
    result = prepare(tmp_path / "data", tmp_path / "out", dataset_name="kitti_raw_stereo")
    assert result.returncode == 1
    assert "78 examples" in result.stdout
    assert "kitti_raw_stereo: not complete (missing drives: 134," in result.stdout
    assert result.stderr.startswith("error: missing calibration: 1, 0 of 78 examples lost: repair")
    assert len(read_split(str(tmp_path / "out"), "train")) > 60


def test_drives_that_are_not_synchronised_are_named_where_nothing_else_is_found(tmp_path):
    write_drive(tmp_path, "2011_09_26_drive_0001_sync", range(5))
    (tmp_path / "2011_09_26" / DRIVE).rename(tmp_path / "2011_09_26" / "2011_09_26_drive_0001_extract")
    result = prepare(tmp_path, tmp_path / "out")
    assert result.returncode == 1
    assert "found none (_extract drive, but the _sync ones are needed: 1)" in result.stderr
