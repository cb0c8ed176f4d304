from kitti_tree import write_calibration, write_drive, write_images
from sfmlearner_tf.data.kitti_raw import list_kitti_raw
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


def test_static_frames_and_gaps_part_a_sequence_unless_allowed(tmp_path):
    write_drive(tmp_path, DRIVE, [*range(10), *range(13, 20)], cameras=["02"])
    static = {DRIVE: [4, 5], "another_drive": [1]}
    listing = list_kitti_raw(str(tmp_path), Selection(static))
    assert ranges(listing) == [(f"{DRIVE}_02", 0, 3), (f"{DRIVE}_02", 6, 9), (f"{DRIVE}_02", 13, 19)]
    assert kinds(listing) == {"missing camera": 1, "static frames left out": 2, "missing frames": 3}
    joined = list_kitti_raw(str(tmp_path), Selection(static, allow_gaps=True))
    assert [int(frame.name) for frame in joined.sequences[0].frames] == [*range(4), *range(6, 10), *range(13, 20)]


def test_missing_and_damaged_calibration_cost_only_what_they_belong_to(tmp_path):
    write_drive(tmp_path, DRIVE, range(3))
    write_calibration(tmp_path / "2011_09_26", cameras=["02"])
    write_images(tmp_path / "2011_09_28" / "2011_09_28_drive_0001_sync" / "image_02" / "data", range(3))
    listing = list_kitti_raw(str(tmp_path), Selection())
    assert ranges(listing) == [(f"{DRIVE}_02", 0, 2)]
    assert {note.kind: note.lost for note in listing.notes} == {
        "damaged calibration": True,
        "missing calibration": False,
    }
