import os

from PIL import Image

from kitti_tree import write_calibration, write_drive, write_images
from sfmlearner_tf.data.kitti_raw import list_kitti_raw, numbered_images
from sfmlearner_tf.data.sequences import Intrinsics, Selection

DRIVE = "2011_09_26_drive_0001_sync"


def ranges(listing):
    return [(s.folder, int(s.frames[0].name), int(s.frames[-1].name)) for s in listing.sequences]


def kinds(listing):
    return {note.kind: note.number for note in listing.notes}


def test_both_cameras_with_their_rectified_intrinsics(tmp_path):
    write_drive(tmp_path, DRIVE, range(5))
    listing = list_kitti_raw(str(tmp_path), Selection())
    assert ranges(listing) == [(f"{DRIVE}_02", 0, 4), (f"{DRIVE}_03", 0, 4)]
    assert listing.sequences[0].intrinsics == Intrinsics(fx=72, fy=71, cx=60, cy=17)
    assert listing.sequences[1].frames[2].path.endswith(f"2011_09_26/{DRIVE}/image_03/data/0000000002.png")
    assert listing.notes == []


def test_held_out_scenes_and_missing_dates_are_noted(tmp_path):
    write_drive(tmp_path, DRIVE, range(5))
    write_drive(tmp_path, "2011_10_03_drive_0027_sync", range(5))
    listing = list_kitti_raw(str(tmp_path), Selection(), ["2011_10_03_drive_0027"])
    assert {sequence.folder[:-3] for sequence in listing.sequences} == {DRIVE}
    assert [note.what for note in listing.notes if note.kind == "missing date"] == [
        "2011_09_28",
        "2011_09_29",
        "2011_09_30",
    ]
    assert [note.what for note in listing.notes if note.kind == "scene held out"] == ["2011_10_03_drive_0027_sync"]


def test_all_drives_of_any_date_without_held_out_scenes(tmp_path):
    write_drive(tmp_path, "2026_01_02_drive_0003_sync", range(3), cameras=["02"])
    listing = list_kitti_raw(str(tmp_path), Selection())
    assert ranges(listing) == [("2026_01_02_drive_0003_sync_02", 0, 2)]
    assert kinds(listing) == {"missing camera": 1}


def numbers(listing):
    return [[int(frame.name) for frame in sequence.frames] for sequence in listing.sequences]


def test_frames_around_static_ones_are_neighbours_and_around_missing_ones_are_not(tmp_path):
    """The release joins the former; on the latter it stops, for it counts the files and takes 0, 1, 2, ..."""
    write_drive(tmp_path, DRIVE, [*range(10), *range(13, 20)], cameras=["02"])
    static = {DRIVE: [4, 5, 19], "another_drive": [1]}
    listing = list_kitti_raw(str(tmp_path), Selection(static))
    assert numbers(listing) == [[*range(4), *range(6, 10)], [*range(13, 19)]]
    assert [int(example.frame) for example in listing.sequences[0].examples(3)] == [1, 2, 3, 6, 7, 8]
    assert kinds(listing) == {"missing camera": 1, "static frames left out": 3, "missing frames": 3}
    joined = list_kitti_raw(str(tmp_path), Selection(static, allow_gaps=True))
    assert numbers(joined) == [[*range(4), *range(6, 10), *range(13, 19)]]
    parted = list_kitti_raw(str(tmp_path), Selection(static, split_at_gaps=True))
    assert numbers(parted) == [[*range(4)], [*range(6, 10)], [*range(13, 19)]]


def test_a_drive_of_static_frames_alone_is_left_out(tmp_path):
    write_drive(tmp_path, DRIVE, range(4), cameras=["02"])
    assert list_kitti_raw(str(tmp_path), Selection({DRIVE: range(4)})).sequences == []


def test_missing_and_damaged_calibration_cost_only_what_they_belong_to(tmp_path):
    write_drive(tmp_path, DRIVE, range(3))
    write_calibration(tmp_path / "2011_09_26", cameras=["02"])
    write_images(tmp_path / "2011_09_28" / "2011_09_28_drive_0001_sync" / "image_02" / "data", range(3))
    listing = list_kitti_raw(str(tmp_path), Selection())
    assert ranges(listing) == [(f"{DRIVE}_02", 0, 2)]
    assert {note.kind: note.lost for note in listing.notes} == {
        "damaged calibration": True,
        "missing calibration": True,
    }


def test_drives_that_a_date_lacks_are_counted_without_its_recording_of_calibration_boards(tmp_path):
    for number in ("0001", "0002", "0117", "0119"):
        write_drive(tmp_path, f"2011_09_26_drive_{number}_sync", range(3), cameras=["02"])
    listing = list_kitti_raw(str(tmp_path), Selection(), ["2011_09_26_drive_0117"])
    assert [(note.what, note.number) for note in listing.notes if note.kind == "missing drives"] == [
        ("2011_09_26, of its 45", 42)
    ]


def test_drives_that_are_not_synchronised_are_named(tmp_path):
    os.makedirs(tmp_path / "2011_09_26" / "2011_09_26_drive_0001_extract" / "image_02" / "data")
    assert [(note.kind, note.what) for note in list_kitti_raw(str(tmp_path), Selection()).notes] == [
        ("_extract drive, but the _sync ones are needed", "2011_09_26_drive_0001_extract")
    ]


def test_of_two_files_of_one_number_the_png_is_taken(tmp_path):
    write_images(tmp_path, range(3), digits=6)
    Image.new("RGB", (8, 8)).save(tmp_path / "000001.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "000003.jpg")
    assert [os.path.basename(frame.path) for _, frame in sorted(numbered_images(str(tmp_path)).items())] == [
        "000000.png",
        "000001.png",
        "000002.png",
        "000003.jpg",
    ]
