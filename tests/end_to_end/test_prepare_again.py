"""A second run into a folder: of the same recordings it goes on, of others it is refused."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kitti_eval.locks import lock_folder
from kitti_tree import write_drive, write_images
from prepare_command import command, contents, prepare

DRIVE = "2011_09_26_drive_0001_sync"
STATIC_DRIVE = "2011_09_26_drive_0009_sync"
CAMERA = "--intrinsics=72,71,60,17"


@pytest.fixture
def dataset(tmp_path):
    write_drive(tmp_path / "data", DRIVE, range(8), cameras=["02"])
    return tmp_path / "data"


def edit_options(folder: Path, **changes: object) -> None:
    """Changes what the folder says it was prepared with; None takes an entry out."""
    path = folder / "prepared_with.json"
    options = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in options.items() if value is not None}))


@pytest.mark.parametrize("shard", [[], ["--shard=1/2"]])
def test_other_recordings_of_the_same_layout_are_refused(dataset, tmp_path, shard):
    assert prepare(dataset, tmp_path / "out").returncode == 0
    before = contents(tmp_path / "out")
    write_drive(tmp_path / "other", DRIVE, range(8), cameras=["03"])
    images = tmp_path / "other" / "2011_09_26" / DRIVE
    (images / "image_02").mkdir()
    write_images(images / "image_02" / "data", range(8), size=(124, 40))
    result = prepare(tmp_path / "other", tmp_path / "out", *shard)
    assert result.returncode == 1
    assert result.stderr.startswith("error: dataset_dir: expected the recordings with which")
    assert len(result.stderr.splitlines()) == 1
    assert contents(tmp_path / "out") == before


def test_a_second_camera_of_a_recording_is_refused_not_listed_alone(tmp_path):
    write_images(tmp_path / "cam0", range(6))
    write_images(tmp_path / "cam1", range(1, 7))
    for number in range(6):
        (tmp_path / "cam1" / f"{number + 1:010d}.png").rename(tmp_path / "cam1" / f"{number:010d}.png")
    assert prepare(tmp_path / "cam0", tmp_path / "out", CAMERA, dataset_name="images").returncode == 0
    listed = (tmp_path / "out" / "train.txt").read_text()
    result = prepare(tmp_path / "cam1", tmp_path / "out", CAMERA, dataset_name="images")
    assert "dataset_dir: expected the recordings with which" in result.stderr
    assert (tmp_path / "out" / "train.txt").read_text() == listed


def test_recordings_may_move_grow_and_be_repaired(dataset, tmp_path):
    """They stay the same recordings, and the run goes on."""
    first = dataset / "2011_09_26" / DRIVE / "image_02" / "data" / "0000000000.png"
    whole = first.read_bytes()
    first.write_bytes(whole[:300])
    assert "damaged frame: 1, 1 of 6 examples lost" in prepare(dataset, tmp_path / "out").stderr
    first.write_bytes(whole)
    moved = tmp_path / "another disk" / "kitti"
    shutil.copytree(dataset, moved)
    shutil.rmtree(dataset)
    write_drive(moved, "2011_09_26_drive_0000_sync", range(5), cameras=["02"])
    result = prepare(moved, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "8 frames decoded" in result.stdout
    assert "9 examples" in result.stdout


def test_folders_from_before_recordings_were_told_apart_go_on(dataset, tmp_path):
    assert prepare(dataset, tmp_path / "out").returncode == 0
    edit_options(tmp_path / "out", recordings=None)
    assert prepare(dataset, tmp_path / "out").returncode == 0


def test_folders_from_before_kitti_s_gaps_were_joined_say_which_flag_goes_on(tmp_path):
    write_drive(tmp_path / "data", STATIC_DRIVE, range(376, 395), cameras=["02"])
    assert "8 examples" in prepare(tmp_path / "data", tmp_path / "out", "--split_at_gaps").stdout
    edit_options(tmp_path / "out", split_at_gaps=None)
    result = prepare(tmp_path / "data", tmp_path / "out")
    assert "split_at_gaps: expected True, with which" in result.stderr
    assert prepare(tmp_path / "data", tmp_path / "out", "--split_at_gaps").returncode == 0
    # Without static frames there was nothing to split at.
    assert prepare(tmp_path / "data", tmp_path / "all", "--keep_static_frames").returncode == 0
    edit_options(tmp_path / "all", split_at_gaps=None)
    assert prepare(tmp_path / "data", tmp_path / "all", "--keep_static_frames").returncode == 0


def test_damaged_options_end_in_one_line(dataset, tmp_path):
    assert prepare(dataset, tmp_path / "out").returncode == 0
    for text in ("[1, 2]", '{"recordings": 3}', "[" * 100_000, "{"):
        (tmp_path / "out" / "prepared_with.json").write_text(text)
        result = prepare(dataset, tmp_path / "out")
        assert "prepared_with.json: expected the options of an earlier run, found" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_second_process_on_the_folder_is_refused_but_a_shard_is_not(dataset, tmp_path):
    with lock_folder(tmp_path / "out"):
        result = prepare(dataset, tmp_path / "out")
        assert result.returncode == 1
        assert f"{tmp_path}/out: another process works in this folder" in result.stderr
        assert prepare(dataset, tmp_path / "out", "--shard=1/1").returncode == 0


def test_shards_that_begin_at_once_make_one_folder(dataset, tmp_path):
    assert prepare(dataset, tmp_path / "one").returncode == 0
    lines = [command(dataset, tmp_path / "out", f"--shard={index}/3") for index in (1, 2, 3)]
    shards = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in lines]
    for process in shards:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert prepare(dataset, tmp_path / "out", "--merge").returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "one")
