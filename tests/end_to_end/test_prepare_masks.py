"""Masks of objects, from a detector's files to a training that reads them."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kitti_tree import write_drive
from prepare_command import ROOT, contents, prepare
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.data.batches import read_example
from sfmlearner_tf.data.formatted import Example, read_split

DRIVE = "2011_09_26_drive_0001_sync"
WIDTH = 48


@pytest.fixture
def recordings(tmp_path):
    """KITTI raw with an object that moves by 3 pixels a frame, dark in the pictures, called otherwise in each mask."""
    write_drive(tmp_path / "data", DRIVE, range(8), cameras=("02",))
    folder = tmp_path / "data" / DRIVE[:10] / DRIVE / "image_02" / "data"
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        picture, mask = np.asarray(Image.open(path)) // 4 + 190, np.zeros((38, 124), np.uint8)
        left = 40 + 3 * number
        picture[10:30, left : left + 30] = 0
        mask[10:30, left : left + 30] = 5 + 7 * number
        Image.fromarray(picture).save(path)
        target = tmp_path / "masks" / path.relative_to(tmp_path / "data")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
    return tmp_path


def test_masks_lie_on_their_objects_and_reach_training(recordings):
    result = prepare(recordings / "data", recordings / "out", f"--masks_dir={recordings}/masks")
    assert result.returncode == 0, result.stderr
    examples = read_split(str(recordings / "out"), "train")
    for example in examples:
        with Image.open(example.image_path(str(recordings / "out"))) as image:
            dark = np.asarray(image).mean(axis=-1) < 60
        with Image.open(example.further_path(str(recordings / "out"), "objects")) as image:
            objects = np.asarray(image)
        assert objects.dtype == np.uint8
        assert set(np.unique(objects)) == {0, 1}  # one object through all frames
        assert np.mean((objects == 1) == dark) > 0.95
    config = TrainConfig(
        dataset_dir=str(recordings / "out"), img_height=32, img_width=WIDTH, pose_network="pairnet", motion_field=True,
        object_masks=True,
    )  # fmt: skip
    batch = read_example(config, examples[0])
    pictures = [batch.target, batch.sources[..., :3], batch.sources[..., 3:]]
    assert batch.extras["objects"].shape == (32, WIDTH, 3)
    for channel, picture in enumerate(pictures):
        dark = picture.numpy().mean(axis=-1) < 60
        assert np.mean((batch.extras["objects"].numpy()[..., channel] == 1) == dark) > 0.95


def test_the_lines_of_the_documentation_make_masks_of_what_torchvision_finds(recordings, monkeypatch):
    """Its detector is not here: what it returns is, in its format, [N, 1, H, W] from 0 to 1, the best first."""
    shutil.rmtree(recordings / "masks")
    masks, found = np.zeros((4, 1, 38, 124), np.float32), {}
    masks[0, 0, 10:30, 40:60], masks[1, 0, 5:9, 5:9], masks[2, 0, 12:20, 70:90] = 0.9, 0.9, 0.8
    masks[2, 0, 12:20, 90:95], masks[3, 0, 30:, :] = 0.4, 0.9
    found = {"masks": masks, "labels": np.array([3, 2, 1, 3]), "scores": np.array([0.99, 0.9, 0.8, 0.3])}
    names = ["background", "person", "tree", "car", "bicycle", "motorcycle", "bus", "truck"]
    weights = SimpleNamespace(
        DEFAULT=SimpleNamespace(
            meta={"categories": names}, transforms=lambda: lambda image: np.moveaxis(np.asarray(image), -1, 0)
        )
    )
    detection = SimpleNamespace(
        MaskRCNN_ResNet50_FPN_V2_Weights=weights,
        maskrcnn_resnet50_fpn_v2=lambda weights: SimpleNamespace(eval=lambda: lambda pictures: [found]),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(no_grad=contextlib.nullcontext))
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision.models", SimpleNamespace(detection=detection))
    monkeypatch.chdir(recordings)
    (recordings / "data").rename(recordings / "kitti_raw")
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "beyond.md").read_text(), re.DOTALL)
    exec(lines, {})
    result = prepare(recordings / "kitti_raw", recordings / "out", f"--masks_dir={recordings}/masks")
    assert result.returncode == 0, result.stderr
    with Image.open(next((recordings / "out").rglob("*-fseg.png"))) as image:
        objects = np.asarray(image)[:, :WIDTH]
    zoom = WIDTH / 124
    assert set(np.unique(objects)) == {0, 1, 2}  # the car and the person; no tree, and nothing that is unsure
    for left, right in ((40, 60), (70, 90)):
        columns = np.nonzero(objects == objects[16, int((left + right) / 2 * zoom)])[1]
        assert columns.min() == pytest.approx(left * zoom, abs=1)
        assert columns.max() == pytest.approx(right * zoom - 1, abs=1)


def test_a_mask_that_is_missing_costs_its_examples_until_it_is_there(recordings):
    lost = recordings / "masks" / DRIVE[:10] / DRIVE / "image_02" / "data" / "0000000006.png"
    shutil.move(lost, recordings / "away.png")
    options = (recordings / "data", recordings / "out", f"--masks_dir={recordings}/masks")
    result = prepare(*options)
    assert result.returncode == 1
    assert "mask missing or damaged: 1" in result.stdout
    assert f"{lost}: expected the mask of a frame" in result.stdout
    assert "2 of 6 examples lost" in result.stderr
    shutil.move(recordings / "away.png", lost)
    again = prepare(*options)
    assert again.returncode == 0, again.stderr
    assert "6 examples" in again.stdout
    # Masks that were cut short are made again, with all that belongs to the example.
    before = contents(recordings / "out")
    example = Example(f"{DRIVE}_02", "0000000003")
    with open(example.further_path(str(recordings / "out"), "objects"), "r+b") as file:
        file.truncate(40)
    assert prepare(*options).returncode == 0
    assert contents(recordings / "out") == before


def test_a_folder_without_masks_stays_one(recordings):
    assert prepare(recordings / "data", recordings / "out").returncode == 0
    assert not list((recordings / "out").rglob("*-fseg.png"))
    result = prepare(recordings / "data", recordings / "out", f"--masks_dir={recordings}/masks")
    assert result.returncode == 1
    assert "masks: expected None, with which" in result.stderr


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--masks_dir={}/none", "--masks_dir: expected a folder, found no such folder"),
        ("--tracked_masks", "--tracked_masks: expected --masks_dir, found none"),
    ],
)
def test_wrong_flags_are_named(recordings, flag, named):
    result = prepare(recordings / "data", recordings / "out", flag.format(recordings))
    assert result.returncode == 1
    assert named in result.stderr
    assert not (recordings / "out").exists()
