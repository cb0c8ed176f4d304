from kitti_tree import P_RECT, write_images
from sfmlearner_tf.data.kitti_odom import LENGTHS, TRAIN_SEQUENCES, list_kitti_odom
from sfmlearner_tf.data.sequences import Selection


def test_training_sequences_and_what_is_missing(tmp_path):
    for name in ("00", "04", "05", "09"):
        write_images(tmp_path / "sequences" / name / "image_2", [0, 1, 2, 5, 6], digits=6)
        write_images(tmp_path / "sequences" / name / "image_3", range(3), digits=6)
        (tmp_path / "sequences" / name / "calib.txt").write_text(f"P0: {P_RECT}\nP2: {P_RECT}\n")
    (tmp_path / "sequences" / "04" / "calib.txt").unlink()
    (tmp_path / "sequences" / "05" / "calib.txt").write_text("P2: 1 2 3\n")
    listing = list_kitti_odom(str(tmp_path), Selection())
    assert [(s.folder, s.frames[0].name, s.frames[-1].name) for s in listing.sequences] == [
        ("00", "000000", "000002"),
        ("00", "000005", "000006"),
    ]
    assert listing.sequences[0].intrinsics == (72, 71, 60, 17)
    kinds = [note.kind for note in listing.notes]
    assert kinds.count("missing sequence") == 6
    assert kinds.count("missing calibration") == 1
    assert kinds.count("damaged calibration") == 1
    # Of 4,541; the end of a sequence may be missing too.
    assert [(note.number, note.what) for note in listing.notes if note.kind == "missing frames"] == [
        (4536, f"{tmp_path}/sequences/00, the first is 3")
    ]


def test_lengths_are_those_of_the_published_poses(shared):
    for name, length in zip(TRAIN_SEQUENCES, LENGTHS):
        poses = shared / "data" / "kitti_odometry" / "poses" / f"{name}.txt"
        assert len(poses.read_text().splitlines()) == length
