import json
import re

import pytest
from PIL import Image

from sfmlearner_tf.data.cityscapes import list_cityscapes
from sfmlearner_tf.data.sequences import Selection
from sfmlearner_tf.errors import UserError

CAMERA = {"extrinsic": {}, "intrinsic": {"fx": 2262.52, "fy": 2265.3, "u0": 1096.98, "v0": 513.137}}


def write_snippet(dataset_dir, snippet, numbers, camera_number, camera=CAMERA):
    city = snippet.split("_")[0]
    images = dataset_dir / "leftImg8bit_sequence" / "train" / city
    cameras = dataset_dir / "camera" / "train" / city
    images.mkdir(parents=True, exist_ok=True)
    cameras.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", (64, 32)).save(images / f"{snippet}_{number:06d}_leftImg8bit.png")
    if camera is not None:
        text = camera if isinstance(camera, str) else json.dumps(camera)
        (cameras / f"{snippet}_{camera_number:06d}_camera.json").write_text(text)


def frames(listing):
    return [(s.folder, [int(frame.name[-6:]) for frame in s.frames]) for s in listing.sequences]


def test_neighbours_are_two_frames_apart_and_every_frame_is_used(tmp_path):
    write_snippet(tmp_path, "aachen_000000", range(8), 19)
    listing = list_cityscapes(str(tmp_path), Selection())
    assert frames(listing) == [("aachen", [0, 2, 4, 6]), ("aachen", [1, 3, 5, 7])]
    assert listing.sequences[0].frames[1].name == "aachen_000000_000002"
    assert listing.sequences[0].intrinsics == (2262.52, 2265.3, 1096.98, 513.137)
    assert listing.notes == []


def test_snippets_of_one_number_take_the_nearest_camera(tmp_path):
    other = {"intrinsic": {**CAMERA["intrinsic"], "fx": 2200.0}}
    write_snippet(tmp_path, "hanover_000000", range(100, 130), 119)
    write_snippet(tmp_path, "hanover_000000", range(500, 530), 519, other)
    listing = list_cityscapes(str(tmp_path), Selection())
    assert [sequence.intrinsics.fx for sequence in listing.sequences] == [2262.52, 2262.52, 2200, 2200]
    assert listing.notes == []


def test_an_example_needs_its_own_frames_only_not_those_between_them(tmp_path):
    write_snippet(tmp_path, "bonn_000001", [0, 1, 2, 3, 5, 6, 7, 8], 2)
    listing = list_cityscapes(str(tmp_path), Selection())
    assert sorted(numbers for _, numbers in frames(listing)) == [[0, 2], [1, 3, 5, 7], [6, 8]]
    assert [(note.kind, note.number) for note in listing.notes] == [("missing frames", 1)]
    parted = list_cityscapes(str(tmp_path), Selection(split_at_gaps=True))
    assert sorted(numbers for _, numbers in frames(parted)) == [[0, 2], [1, 3], [5, 7], [6, 8]]


def test_a_wider_gap_parts_a_snippet_and_is_noted(tmp_path):
    write_snippet(tmp_path, "bonn_000001", [0, 1, 2, 3, 6, 7, 8], 2)
    listing = list_cityscapes(str(tmp_path), Selection())
    assert sorted(numbers for _, numbers in frames(listing)) == [[0, 2], [1, 3], [6, 8], [7]]
    assert [(note.kind, note.number) for note in listing.notes] == [("missing frames", 2)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("fy", 0), ("v0", 10**400), ("v0", [1])]
    + [(name, value) for name in ("fx", "u0") for value in (-1.5, 10**10, float("nan"), float("inf"), "far", None)],
)
def test_what_is_no_camera_is_named(tmp_path, name, value):
    write_snippet(tmp_path, "bonn_000001", range(3), 1, {"intrinsic": {**CAMERA["intrinsic"], name: value}})
    (note,) = list_cityscapes(str(tmp_path), Selection()).notes
    assert note.kind == "damaged calibration"
    assert re.search(r"bonn_000001_000001_camera\.json: expected (a camera|focal lengths|a principal point)", note.what)


def test_a_city_whose_name_no_list_can_hold_is_refused_before_any_work(tmp_path):
    write_snippet(tmp_path, "bad hom_000001", range(3), 1)
    with pytest.raises(UserError, match="'bad hom': expected a name of UTF-8 without spaces"):
        list_cityscapes(str(tmp_path), Selection())


def test_missing_and_damaged_cameras_cost_only_their_snippet(tmp_path):
    write_snippet(tmp_path, "bonn_000000", range(3), 0, camera=None)
    write_snippet(tmp_path, "bonn_000001", range(3), 1, camera="{}")
    write_snippet(tmp_path, "bonn_000002", range(3), 1, camera="not json")
    write_snippet(tmp_path, "bonn_000003", range(3), 1)
    write_snippet(tmp_path, "bonn_000004", range(3), 1, camera="[" * 100_000)
    listing = list_cityscapes(str(tmp_path), Selection())
    assert {sequence.frames[0].name[:11] for sequence in listing.sequences} == {"bonn_000003"}
    assert [(note.kind, note.lost) for note in listing.notes] == [
        ("missing calibration", True),
        *[("damaged calibration", True)] * 3,
    ]
