"""What a run does about examples whose files are missing or damaged."""

import itertools

import numpy as np
import pytest

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.data.feed import Feed, read_left_out
from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.errors import UserError

COUNT = 12


@pytest.fixture
def data(tmp_path):
    """Formatted data of twelve examples."""
    write_formatted_data(tmp_path / "formatted", COUNT, height=32, width=32)
    return tmp_path / "formatted"


def feed_for(data, run, left_out=None, **options):
    settings = {"batch_size": 2, "img_height": 32, "img_width": 32, "on_bad_example": "skip", "max_bad_fraction": 0.5}
    config = TrainConfig(dataset_dir=str(data), checkpoint_dir=str(run), num_threads=1, **{**settings, **options})
    return Feed(config, read_split(str(data), "train"), left_out or {})


def take(feed, steps):
    """The targets, sources and cameras of the batches of some steps."""
    size = feed.config.batch_size
    return [[part.numpy() for part in feed.next_batch(step, size * step)[:3]] for step in steps]


def assert_same(found, expected):
    for one, other in zip(itertools.chain(*found), itertools.chain(*expected)):
        np.testing.assert_array_equal(one, other)


def damage_some(data):
    """Four of the examples, each in another way; by their frames what is told about them."""
    drive = data / "drive"
    strip = drive / "0000000003.jpg"
    strip.write_bytes(strip.read_bytes()[: strip.stat().st_size // 2])
    (drive / "0000000004.jpg").unlink()
    (drive / "0000000007_cam.txt").write_text("-20,0,16,0,20,16,0,0,1")
    write_formatted_data(data / "other", 1, height=32, width=64)
    (data / "other" / "drive" / "0000000000.jpg").rename(drive / "0000000011.jpg")
    return {
        "0000000003": "0000000003.jpg is damaged: expected a whole JPEG image",
        "0000000004": "0000000004.jpg not found, though a list of examples names it",
        "0000000007": "0000000007_cam.txt: expected positive focal lengths",
        "0000000011": "0000000011.jpg: expected a strip of 3 frames of 32x32, 96x32 pixels, found 192x32",
    }


def test_damaged_examples_are_skipped_listed_and_told_once(data, tmp_path, capsys):
    damaged = damage_some(data)
    feed = feed_for(data, tmp_path / "run")
    take(feed, range(3 * COUNT // 2))  # three passes
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: left out: ")]
    lines = (tmp_path / "run" / "bad_examples.txt").read_text().splitlines()
    assert len(warnings) == len(lines) == 4
    for frame, text in damaged.items():
        assert len([line for line in warnings if text in line]) == 1
        (line,) = [line for line in lines if line.startswith(f"drive {frame}: ")]
        assert text in line
    # As a run that goes on reads it.
    assert read_left_out(str(tmp_path / "run")) == feed.left_out


def test_what_was_skipped_once_is_not_looked_at_again(data, tmp_path, capsys):
    """So a run that goes on sees what the undisturbed one sees, wherever it begins."""
    damage_some(data)
    whole = take(feed_for(data, tmp_path / "run"), range(14))
    capsys.readouterr()
    left_out = read_left_out(str(tmp_path / "run"))
    for first in (0, 5, 9):
        assert_same(take(feed_for(data, tmp_path / "run", left_out), range(first, 14)), whole[first:])
    assert capsys.readouterr().out == ""


def test_the_next_good_example_of_the_list_takes_the_place(data, tmp_path):
    numbers = [int(e.frame) for step in range(6) for e in feed_for(data, tmp_path).batch_examples(2 * step)]
    assert sorted(numbers) == list(range(COUNT))
    left_out = {Example("drive", f"{number:010d}"): "damaged" for number in (3, 4, 7, 11)}
    feed = feed_for(data, tmp_path, left_out)
    replaced = [int(e.frame) for step in range(6) for e in feed.batch_examples(2 * step)]
    assert replaced == [{3: 5, 4: 5, 7: 8, 11: 0}.get(number, number) for number in numbers]


def test_a_file_that_disappears_on_the_way_is_skipped_from_there(data, tmp_path):
    steps = range(2, 30)  # the rest of the first of five passes, and four whole ones
    feed = feed_for(data, tmp_path / "run")
    take(feed, range(2))
    gone = feed.batch_examples(12)[0]
    has_it = [step for step in steps if gone in feed.batch_examples(2 * step)]
    (data / "drive" / f"{gone.frame}.jpg").rename(tmp_path / "gone.jpg")
    found = take(feed, steps)
    assert list(feed.left_out) == [gone]
    (tmp_path / "gone.jpg").rename(data / "drive" / f"{gone.frame}.jpg")
    whole = take(feed_for(data, tmp_path / "other_run"), steps)
    replaced = [step for step, one, other in zip(steps, found, whole) if not np.array_equal(one[0], other[0])]
    # From some pass on: the first ones may have been decoded before the file disappeared.
    assert replaced
    assert replaced == has_it[-len(replaced) :]


def test_stop_names_the_file(data, tmp_path):
    damage_some(data)
    feed = feed_for(data, tmp_path / "run", on_bad_example="stop")
    with pytest.raises(UserError, match=r"/drive/0{9}\d.*: expected .*\(on_bad_example=skip leaves it out\)$"):
        take(feed, range(6))
    assert not (tmp_path / "run").exists()


def test_too_many_end_the_run(data, tmp_path):
    damage_some(data)
    feed = feed_for(data, tmp_path / "run", max_bad_fraction=0.2)  # of twelve 2.4
    with pytest.raises(UserError) as error:
        take(feed, range(6))
    assert str(error.value).startswith("3 of 12 examples are damaged, more than max_bad_fraction=0.2; ")
    assert len((tmp_path / "run" / "bad_examples.txt").read_text().splitlines()) == 3
    with pytest.raises(UserError, match="3 of 12 examples are damaged"):  # also where the run goes on
        feed_for(data, tmp_path / "run", read_left_out(str(tmp_path / "run")), max_bad_fraction=0.2)
    exactly = {Example("drive", f"{number:010d}"): "damaged" for number in range(3)}
    feed_for(data, tmp_path / "run", exactly, max_bad_fraction=0.25)


def test_an_example_counts_as_often_as_it_is_listed(data, tmp_path):
    (data / "train.txt").write_text("drive 0000000004\n" * 3 + "drive 0000000005\n")
    with pytest.raises(UserError, match="3 of 4 examples are damaged"):
        feed_for(data, tmp_path, {Example("drive", "0000000004"): "damaged"}, max_bad_fraction=0.5)


def test_examples_that_are_no_longer_listed_do_not_count(data, tmp_path):
    listed, gone = Example("drive", "0000000002"), Example("drive", "9")
    feed = feed_for(data, tmp_path, {gone: "damaged", listed: "too"}, max_bad_fraction=0.1)
    assert feed.left_out == {listed: "too"}


def test_one_damaged_example_in_a_thousand(tmp_path):
    write_formatted_data(tmp_path, 1000, height=32, width=32)
    (tmp_path / "drive" / "0000000123.jpg").write_bytes(b"")
    feed = feed_for(tmp_path, tmp_path / "run", batch_size=8, max_bad_fraction=0.01)
    assert len(take(feed, range(250))) == 250  # two passes
    (line,) = (tmp_path / "run" / "bad_examples.txt").read_text().splitlines()
    assert line.startswith("drive 0000000123: ")


def test_the_list_says_what_is_left_out_now(data, tmp_path):
    listed = tmp_path / "bad_examples.txt"
    listed.write_text("drive 0000000001: of an earlier run\n")
    feed_for(data, tmp_path, {Example("drive", "0000000002"): "it is damaged: so"}).write_left_out()
    assert listed.read_text() == "drive 0000000002: it is damaged: so\n"
    feed_for(data, tmp_path).write_left_out()
    assert not listed.exists()
    assert read_left_out(str(tmp_path)) == {}


@pytest.mark.parametrize("content", ["drive 0000000001\n", "drive 1: ok\ndrive frame reason\n", "\n"])
def test_a_list_that_is_none_is_named(tmp_path, content):
    (tmp_path / "bad_examples.txt").write_text(content)
    with pytest.raises(UserError, match=r"bad_examples\.txt: expected \"<folder> <frame>: <reason>\" in each"):
        read_left_out(str(tmp_path))
