from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kitti_tree import write_images
from sfmlearner_tf.data import prepare
from sfmlearner_tf.data.formatted import is_complete, read_intrinsics
from sfmlearner_tf.data.frames import Geometry
from sfmlearner_tf.data.kitti_raw import numbered_images
from sfmlearner_tf.data.prepare import Recipe, claim_folder, make_examples, unfinished
from sfmlearner_tf.data.sequences import FrameSequence, Intrinsics, shard
from sfmlearner_tf.errors import UserError

GEOMETRY = Geometry(width=48, height=32, kept_height=32)


def recording(folder: Path, numbers=range(12)) -> FrameSequence:
    write_images(folder, numbers)
    frames = numbered_images(str(folder))
    return FrameSequence(
        folder.name, folder.name, tuple(frames[number] for number in sorted(frames)), Intrinsics(72, 71, 60, 17)
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_strip_is_the_resized_frames_in_order_and_intrinsics_follow(tmp_path):
    sequence = recording(tmp_path / "seq")
    recipe = Recipe(str(tmp_path / "out"), 5, GEOMETRY)
    assert list(make_examples([sequence], recipe)) == []
    assert sorted(path.name for path in (tmp_path / "out" / "seq").glob("*.jpg")) == [
        f"{number:010d}.jpg" for number in range(2, 10)
    ]
    resized = []
    for frame in sequence.frames[2:7]:
        with Image.open(frame.path) as image:
            resized.append(np.asarray(image.resize((48, 32), Image.Resampling.BILINEAR)))
    Image.fromarray(np.concatenate(resized, axis=1)).save(tmp_path / "expected.jpg", quality=75)
    assert (tmp_path / "out" / "seq" / "0000000004.jpg").read_bytes() == (tmp_path / "expected.jpg").read_bytes()
    np.testing.assert_allclose(
        read_intrinsics(str(tmp_path / "out" / "seq" / "0000000004_cam.txt")),
        [[72 * 48 / 124, 0, 60 * 48 / 124], [0, 71 * 32 / 38, 17 * 32 / 38], [0, 0, 1]],
        rtol=1e-6,
    )


@pytest.mark.parametrize("part_length", [1, 3, 4, 100])
@pytest.mark.parametrize("seq_length", [3, 5])
def test_cutting_a_sequence_into_parts_changes_nothing_and_decodes_each_frame_once(
    tmp_path, monkeypatch, part_length, seq_length
):
    sequence = recording(tmp_path / "seq")
    decoded: list[str] = []
    load = prepare.load_frames

    def counting(frames, *arguments):
        decoded.extend(frame.name for frame in frames)
        return load(frames, *arguments)

    monkeypatch.setattr(prepare, "load_frames", counting)
    monkeypatch.setattr(prepare, "PART_LENGTH", part_length)
    list(make_examples([sequence], Recipe(str(tmp_path / "cut"), seq_length, GEOMETRY)))
    assert decoded == [frame.name for frame in sequence.frames]
    monkeypatch.setattr(prepare, "PART_LENGTH", 1000)
    list(make_examples([sequence], Recipe(str(tmp_path / "whole"), seq_length, GEOMETRY)))
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_second_run_repairs_what_is_missing_and_no_more(tmp_path):
    sequence = recording(tmp_path / "seq")
    recipe = Recipe(str(tmp_path / "out"), 3, GEOMETRY)
    list(make_examples([sequence], recipe))
    whole = contents(tmp_path / "out")
    assert unfinished([sequence], recipe) == []
    for name in ("0000000002.jpg", "0000000003_cam.txt", "0000000008.jpg"):
        (tmp_path / "out" / "seq" / name).unlink()
    todo = unfinished([sequence], recipe)
    assert [[int(frame.name) for frame in part.frames] for part in todo] == [[1, 2, 3, 4], [7, 8, 9]]
    list(make_examples(todo, recipe))
    assert contents(tmp_path / "out") == whole


def test_shards_have_equal_shares_and_together_all_examples(tmp_path):
    sequences = [recording(tmp_path / "a", range(7)), recording(tmp_path / "b", range(9))]
    every = [example for sequence in sequences for example in sequence.examples(3)]
    shares = [
        [example for part in shard(sequences, 3, index, 5) for example in part.examples(3)] for index in range(1, 6)
    ]
    assert [example for share in shares for example in share] == every
    assert [len(share) for share in shares] == [2, 2, 3, 2, 3]


def test_a_damaged_frame_costs_only_its_own_examples(tmp_path):
    sequence = recording(tmp_path / "seq")
    damaged = Path(sequence.frames[6].path)
    damaged.write_bytes(damaged.read_bytes()[:300])
    recipe = Recipe(str(tmp_path / "out"), 3, GEOMETRY)
    (note,) = make_examples([sequence], recipe)
    assert note.lost
    assert str(damaged) in note.what
    missing = [int(example.frame) for example in sequence.examples(3) if not is_complete(recipe.dump_root, example)]
    assert missing == [5, 6, 7]


def test_frames_of_another_size_are_named(tmp_path):
    sequence = recording(tmp_path / "seq", range(5))
    Image.new("RGB", (100, 50)).save(sequence.frames[4].path)
    (note,) = make_examples([sequence], Recipe(str(tmp_path / "out"), 3, GEOMETRY))
    assert note.what == "seq 0000000003"


def test_what_cannot_be_written_is_named_and_the_rest_goes_on(tmp_path):
    sequences = [recording(tmp_path / "a", range(4)), recording(tmp_path / "b", range(4))]
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("a file where a folder should be")
    notes = list(make_examples(sequences, Recipe(str(out), 3, GEOMETRY)))
    assert [note.kind for note in notes] == ["not written", "not written"]
    assert len(list((out / "b").glob("*.jpg"))) == 2


def test_a_folder_of_other_options_is_refused_with_the_difference(tmp_path):
    claim_folder(str(tmp_path), {"seq_length": 3, "img_width": 416})
    claim_folder(str(tmp_path), {"seq_length": 3, "img_width": 416})
    with pytest.raises(UserError, match=r"seq_length: expected 3, with which .* was prepared, found 5"):
        claim_folder(str(tmp_path), {"seq_length": 5, "img_width": 416})


def test_a_folder_of_unknown_options_is_refused(tmp_path):
    (tmp_path / "train.txt").write_text("a 1\n")
    with pytest.raises(UserError, match=r"found a train\.txt"):
        claim_folder(str(tmp_path), {"seq_length": 3})
