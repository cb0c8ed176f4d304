"""Masks of objects: one number for an object through all frames, and masks that stay on their pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.data.batches import read_example
from sfmlearner_tf.data.formatted import read_split
from sfmlearner_tf.data.frames import Geometry
from sfmlearner_tf.data.masks import MaskFolder, number_objects
from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.errors import UserError


def mask_of(*objects, size=(20, 40)):
    """A mask with rectangles (number, top, left, height, width); later ones cover earlier ones."""
    mask = np.zeros(size, np.int32)
    for number, top, left, height, width in objects:
        mask[top : top + height, left : left + width] = number
    return mask


def test_an_object_keeps_its_number_whatever_the_detector_calls_it():
    frames = [
        mask_of((7, 2, 2, 6, 8), (3, 10, 20, 8, 10)),
        mask_of((1, 2, 4, 6, 8), (9, 10, 18, 8, 10)),
        mask_of((300, 10, 16, 8, 10), (2, 2, 6, 6, 8)),
    ]
    first, second, third = number_objects(frames)
    assert first.dtype == np.uint8
    car, truck = first[4, 5], first[12, 25]
    assert {car, truck} == {1, 2}
    assert (second[4, 8], second[12, 20], third[4, 10], third[12, 18]) == (car, truck, car, truck)
    for numbered, frame in zip((first, second, third), frames):
        np.testing.assert_array_equal(numbered == 0, frame == 0)


@pytest.mark.parametrize(("moved", "is_same"), [(5, True), (6, False)])  # intersection over union 5/15 and 4/16
def test_masks_that_hardly_overlap_are_two_objects(moved, is_same):
    first, second = number_objects([mask_of((5, 0, 0, 4, 10)), mask_of((5, 0, moved, 4, 10))])
    assert (second[0, moved] == first[0, 0]) == is_same
    assert second[0, moved] == (1 if is_same else 2)


def test_objects_that_come_and_go_share_no_number():
    first, second, third = number_objects([mask_of((1, 0, 0, 5, 5)), mask_of(), mask_of((1, 0, 0, 5, 5))])
    assert (first.max(), second.max(), third.max()) == (1, 0, 2)


def test_pairs_are_chosen_together():
    """Taken one after another, the left object would take the pair of the right one, for it overlaps that most."""
    first, second = number_objects(
        [mask_of((1, 0, 0, 4, 10), (2, 0, 10, 4, 10)), mask_of((1, 0, 4, 4, 10), (2, 0, 14, 4, 10))]
    )
    assert second[0, 6] == first[0, 0]
    assert second[0, 16] == first[0, 12]


def test_tracked_masks_keep_who_is_who_without_overlap():
    frames = [mask_of((40, 0, 0, 5, 5), (1000, 10, 0, 5, 5)), mask_of((1000, 10, 30, 5, 5), (40, 0, 30, 5, 5))]
    first, second = number_objects(frames, tracked=True)
    assert (first[0, 0], first[10, 0]) == (second[0, 30], second[10, 30]) == (1, 2)
    assert number_objects(frames)[1].max() == 4


def test_of_more_than_255_objects_the_rest_is_left_out():
    mask = np.arange(400).reshape(20, 20)
    (numbered,) = number_objects([mask])
    assert (np.unique(numbered) == np.arange(256)).all()
    np.testing.assert_array_equal(numbered > 0, (mask > 0) & (mask <= 255))


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "masks" / "drive").mkdir(parents=True)
    (tmp_path / "pictures" / "drive").mkdir(parents=True)
    frame = Frame("0000000000", str(tmp_path / "pictures" / "drive" / "a.jpg"))
    return (
        MaskFolder(str(tmp_path / "masks"), str(tmp_path / "pictures")),
        frame,
        tmp_path / "masks" / "drive" / "a.png",
    )


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "1"])
def test_a_mask_is_cut_and_resized_with_its_picture(folders, mode):
    """Whichever pixels of the picture are bright are those of the object."""
    masks, frame, path = folders
    values = mask_of((1, 3, 7, 9, 18))
    bright = Image.fromarray(np.repeat(255 * values[..., None], 3, axis=-1).astype(np.uint8))
    kind = {"I;16": np.uint16, "1": bool}.get(mode, np.uint8)
    number = {"L": 200, "I;16": 40_000, "P": 3, "1": 1}[mode]
    image = Image.fromarray((number * values).astype(kind))
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9, 90, 0, 0, 0, 200, 0])
    image.save(path)
    geometry = Geometry(80, 32, 24, crop=(2, 1, 36, 16))
    found = masks.read(frame, (40, 20), geometry)
    assert found.shape == (24, 80)
    assert set(np.unique(found)) == {0, number}
    picture = np.asarray(geometry.apply(bright))[..., 0]
    np.testing.assert_array_equal(found[picture < 100], 0)
    np.testing.assert_array_equal(found[picture > 155], number)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (None, "No such file"),
        (Image.new("L", (20, 40)), "expected the 40x20 pixels of its frame, found 20x40"),
        (Image.new("RGB", (40, 20)), "expected one channel with the number of an object, found RGB"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(folders, image, named):
    masks, frame, path = folders
    if image:
        image.save(path)
    with pytest.raises(UserError, match=f"a.png: .*{named}"):
        masks.read(frame, (40, 20), Geometry(80, 32, 32))


def test_the_masks_of_a_video_are_in_a_folder_of_its_name(tmp_path):
    (tmp_path / "clips").mkdir()
    frame = Frame("0000000012", str(tmp_path / "clips" / "drive.mp4"), 12)
    for dataset_dir in (tmp_path / "clips", tmp_path / "clips" / "drive.mp4"):
        found = MaskFolder("masks", str(dataset_dir)).path(frame)
        assert found == "masks/drive/0000000012.png"


def test_training_without_masks_says_how_to_make_them(tmp_path):
    write_formatted_data(tmp_path, count=1)
    config = TrainConfig(dataset_dir=str(tmp_path), img_height=32, img_width=64, object_motion=True)
    (example,) = read_split(str(tmp_path), "train")
    expected = r"-fseg\.png: expected objects of the example \(prepare_train_data\.py --masks_dir writes them\), found"
    with pytest.raises(UserError, match=expected):
        read_example(config, example)
