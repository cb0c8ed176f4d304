"""Several formatted datasets as one, and the runs that learn from them."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import numpy as np
import pytest

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.data import batches, mixture
from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.data.mixture import Part
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.trainer import Trainer

OPTIONS = {"img_height": 32, "img_width": 64, "batch_size": 2, "num_scales": 1, "val_freq": 0}


@pytest.fixture
def folders(tmp_path):
    """Two datasets of 4 and of 6 examples."""
    for name, count in (("town", 4), ("road", 6)):
        (tmp_path / name).mkdir()
        write_formatted_data(tmp_path / name, count)
    return str(tmp_path / "town"), str(tmp_path / "road")


def test_what_a_text_names(folders, tmp_path):
    town, road = folders
    assert mixture.find_parts(town) == [Part(town, 1)]
    assert mixture.find_parts("nowhere/yet") == [Part("nowhere/yet", 1)]
    assert mixture.find_parts(f"{town}:3") == [Part(town, 3)]
    assert mixture.find_parts(f"{town}, {road}:2") == [Part(town, 1), Part(road, 2)]
    for odd in ("a,b", "c:2"):
        (tmp_path / odd).mkdir()
        assert mixture.find_parts(str(tmp_path / odd)) == [Part(str(tmp_path / odd), 1)]
    assert mixture.find_parts(f"{tmp_path / 'c:2'}:4,{town}") == [Part(str(tmp_path / "c:2"), 4), Part(town, 1)]


@pytest.mark.parametrize("times", ["0", "-1", "1.5", "", "1001", "²"])
def test_a_wrong_number_of_times_is_named(folders, times):
    with pytest.raises(UserError, match=rf"a whole number from 1 to 1000 after {folders[0]}:, got '{times}'"):
        mixture.find_parts(f"{folders[0]}:{times},{folders[1]}")


def test_no_folder_at_all_is_told():
    with pytest.raises(UserError, match="expected a folder, got ','"):
        mixture.find_parts(",")


def test_a_folder_that_comes_twice_is_named(folders):
    with pytest.raises(UserError, match=f"expected each folder once, got {folders[0]}"):
        mixture.find_parts(f"{folders[0]},{folders[1]},{folders[0]}/")


def test_folders_with_spaces_are_refused_where_they_are_several(folders, tmp_path):
    (tmp_path / "my town").mkdir()
    assert mixture.find_parts(str(tmp_path / "my town"))
    with pytest.raises(UserError, match=r"folders without spaces where they are several, got .*my town"):
        mixture.find_parts(f"{tmp_path / 'my town'},{folders[0]}")


def test_examples_come_as_often_as_asked_for_in_training_alone(folders):
    town, road = folders
    examples = mixture.read_mixture(f"{town}:3,{road}", "train")
    expected = Counter({f"{town}/drive/{number:010d}": 3 for number in range(4)})
    expected += Counter({f"{road}/drive/{number:010d}": 1 for number in range(6)})
    assert Counter(example.stem("") for example in examples) == expected
    assert all(os.path.exists(example.image_path("")) for example in examples)
    assert len(mixture.read_mixture(f"{town}:3,{road}", "val")) == 2
    assert mixture.read_mixture(town, "train") == read_split(town, "train")
    assert mixture.describe(town) == []
    assert mixture.describe(f"{town}:3,{road}") == [
        f"{town}: 4 examples, 3 times an epoch: 12",
        f"{road}: 6 examples",
    ]


def test_a_part_may_have_nothing_for_validation(folders):
    town, road = folders
    os.remove(f"{town}/val.txt")
    assert mixture.read_mixture(f"{town},{road}", "val") == [Example(f"{road}/drive", f"{0:010d}")]
    assert mixture.read_mixture(f"{road},{town}", "val") == [Example(f"{road}/drive", f"{0:010d}")]
    open(f"{road}/val.txt", "w").close()
    with pytest.raises(UserError, match=r"val\.txt"):
        mixture.read_mixture(f"{town},{road}", "val")
    os.remove(f"{road}/train.txt")
    with pytest.raises(UserError, match=r"road/train\.txt"):
        mixture.read_mixture(f"{town},{road}", "train")


def test_batches_hold_what_the_examples_files_hold(folders, tmp_path, monkeypatch):
    """Of folders relative to the working one, too."""
    monkeypatch.chdir(tmp_path)
    town, road = folders[0], "road"
    config = TrainConfig(dataset_dir=f"{town},{road}:2", **OPTIONS)
    examples = mixture.read_mixture(config.dataset_dir, "train")
    single = {}
    for folder in (town, road):
        for example in read_split(folder, "train"):
            alone = TrainConfig(dataset_dir=folder, **OPTIONS)
            single[example.stem(folder)] = batches.read_example(alone, example).target.numpy()
    for example in examples:
        np.testing.assert_array_equal(batches.read_example(config, example).target, single[example.stem("")])
    assert len({target.tobytes() for target in single.values()}) > 5
    # An epoch of batches reads each as often as it should.
    seen = Counter()
    for position in range(0, len(examples), 2):
        seen.update(example.stem("") for example in batches.batch_examples(config, examples, position))
    assert seen == Counter(example.stem("") for example in examples)


@pytest.mark.usefixtures("small_depth_network")
def test_a_run_learns_from_all_goes_on_and_names_what_changed(folders, tmp_path, capsys):
    town, road = folders

    def run(dataset_dir, max_steps, **options):
        trainer = Trainer(
            TrainConfig(
                dataset_dir=dataset_dir, checkpoint_dir=str(tmp_path / "run"), max_steps=max_steps, **OPTIONS, **options
            )
        )
        trainer.run()
        return trainer

    assert run(f"{town},{road}:2", 4).steps_per_epoch == 8
    printed = capsys.readouterr().out
    assert f"{town}: 4 examples\n{road}: 6 examples, 2 times an epoch: 12\n16 examples, 8 steps per epoch" in printed
    run(f"{town},{road}:2", 6, continue_train=True)
    with pytest.raises(UserError, match="lists other examples than before"):
        run(f"{town},{road}", 8, continue_train=True)
    moved = [shutil.move(folder, f"{folder}_moved") for folder in folders]
    run(f"{os.path.relpath(moved[0])},{moved[1]}:2", 8, continue_train=True)
    with pytest.raises(UserError, match="lists other examples than before"):
        run(f"{moved[1]}:2,{moved[0]}", 9, continue_train=True)


@pytest.mark.usefixtures("small_depth_network")
def test_a_damaged_example_of_a_mixture_is_left_out_and_stays_so(folders, tmp_path):
    town, road = folders
    with open(f"{road}/drive/0000000003.jpg", "wb") as file:
        file.write(b"no picture")
    options = {"on_bad_example": "skip", "max_bad_fraction": 0.5, **OPTIONS}
    path = tmp_path / "run" / "bad_examples.txt"
    for max_steps, goes_on in ((9, False), (12, True)):
        trainer = Trainer(
            TrainConfig(
                dataset_dir=f"{town},{road}", checkpoint_dir=str(tmp_path / "run"), max_steps=max_steps,
                continue_train=goes_on, **options,
            )
        )  # fmt: skip
        assert bool(trainer.feed.left_out) == goes_on
        trainer.run()
        assert path.read_text().startswith(f"{road}/drive 0000000003: ")


def test_an_unknown_camera_among_several_is_named(folders, tmp_path):
    from sfmlearner_tf.data.prepare import OPTIONS_FILE

    town, road = folders
    with open(os.path.join(road, OPTIONS_FILE), "w") as file:
        file.write('{"intrinsics": "unknown"}')
    with pytest.raises(UserError, match=f"learn_intrinsics: expected true with data .*unknown, {road}"):
        Trainer(TrainConfig(dataset_dir=f"{town},{road}", checkpoint_dir=str(tmp_path / "run"), **OPTIONS))
