"""Kept examples give the same batches, and are neither read again nor taken for others."""

from __future__ import annotations

import os
import re
import resource
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import small_train
from forked import ForkedCommand
from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.data.augmentation import Share
from sfmlearner_tf.data.cache import find_free_memory
from sfmlearner_tf.data.extras import EXTRAS, Extra
from sfmlearner_tf.data.feed import Feed
from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.errors import UserError
from waiting import wait_for_file

COUNT = 6
KINDS = pytest.mark.parametrize("cache", ["memory", "disk"])


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Formatted data of six examples, each with a further input, of 80 kB."""
    folder = tmp_path / "formatted"
    write_formatted_data(folder, COUNT, height=32, width=48)
    for number in range(COUNT):
        (folder / "drive" / f"{number:010d}-speeds.txt").write_text(f"{10.5 + number} " * 20_000)
    speeds = Extra("-speeds.txt", decode_numbers, "none", lambda config: True)
    monkeypatch.setitem(EXTRAS, "speeds", speeds)
    return folder


def decode_numbers(content, _config):
    return tf.strings.to_number(tf.strings.split(content))


def feed_for(data, run, share=None, **options):
    settings = {"batch_size": 2, "img_height": 32, "img_width": 48, "random_flip": True, "max_bad_fraction": 0.5}
    config = TrainConfig(dataset_dir=str(data), checkpoint_dir=str(run), **{**settings, **options})
    return Feed(config, read_split(str(data), "train"), {}, share or Share(0, 1))


def take(feed, steps):
    """All that the batches of some steps hold."""
    size = feed.config.batch_size
    return [[part.numpy() for part in tf.nest.flatten(feed.next_batch(step, size * step))] for step in steps]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert [part.dtype for part in one] == [part.dtype for part in other]
        for part, other_part in zip(one, other):
            np.testing.assert_array_equal(part, other_part)


@KINDS
def test_batches_are_the_same_in_every_pass(data, tmp_path, cache):
    """Also from the middle of a pass on, and where a batch has the end of one and the beginning of the next."""
    steps = range(4, 4 + 3 * COUNT // 4)
    expected = take(feed_for(data, tmp_path, batch_size=4), steps)
    assert_same(take(feed_for(data, tmp_path, batch_size=4, cache=cache), steps), expected)


def test_a_worker_keeps_what_its_share_of_the_batches_needs(data, tmp_path):
    share = Share(1, 2)
    expected = take(feed_for(data, tmp_path, share), range(12))
    assert_same(take(feed_for(data, tmp_path, share, cache="memory"), range(12)), expected)


@KINDS
def test_after_the_first_pass_no_file_is_read(data, tmp_path, cache):
    expected = take(feed_for(data, tmp_path), range(5 * COUNT // 2))
    feed = feed_for(data, tmp_path, cache=cache)
    assert_same(take(feed, range(COUNT // 2)), expected[: COUNT // 2])
    shutil.rmtree(data)
    assert_same(take(feed, range(COUNT // 2, 5 * COUNT // 2)), expected[COUNT // 2 :])


def test_damaged_examples_are_found_and_left_out_as_without_a_cache(data, tmp_path, capsys):
    strip = data / "drive" / "0000000003.jpg"
    strip.write_bytes(strip.read_bytes()[:700])
    (data / "drive" / "0000000004-speeds.txt").write_text("fast")
    steps = range(5 * COUNT // 2)
    expected = take(feed_for(data, tmp_path, on_bad_example="skip"), steps)
    warnings = capsys.readouterr().out
    feed = feed_for(data, tmp_path, on_bad_example="skip", cache="memory")
    summary = capsys.readouterr().out
    assert summary.startswith("cache=memory: up to 0.6 MB in memory, where ")
    assert_same(take(feed, steps), expected)
    assert capsys.readouterr().out == warnings
    assert sorted(example.frame for example in feed.left_out) == ["0000000003", "0000000004"]
    with pytest.raises(UserError, match=r"/drive/000000000[34].*: expected .*\(on_bad_example=skip leaves it out\)$"):
        take(feed_for(data, tmp_path, cache="memory"), steps)


def test_what_is_kept_outlives_the_examples_that_are_left_out(data, tmp_path):
    """What came before the damaged one is not read again, though the batches are made anew."""
    whole = feed_for(data, tmp_path, on_bad_example="skip")
    damaged = whole.batch_examples(4)[0]
    (data / "drive" / f"{damaged.frame}.jpg").write_bytes(b"")
    steps = range(5 * COUNT // 2)
    expected = take(whole, steps)
    feed = feed_for(data, tmp_path, on_bad_example="skip", cache="disk")
    found = take(feed, range(2))
    for example in feed.batch_examples(0) + feed.batch_examples(2):
        (data / "drive" / f"{example.frame}.jpg").unlink()
    assert_same(found + take(feed, steps[2:]), expected)
    assert list(feed.left_out) == [damaged]


@KINDS
def test_another_run_sees_what_has_changed(data, tmp_path, cache):
    before = feed_for(data, tmp_path, cache=cache)
    take(before, range(COUNT))
    strips = [data / "drive" / f"{number:010d}.jpg" for number in (1, 2)]
    contents = [strip.read_bytes() for strip in strips]
    for strip, content in zip(strips, contents[::-1]):
        strip.write_bytes(content)
    expected = take(feed_for(data, tmp_path), range(2 * COUNT))
    assert_same(take(feed_for(data, tmp_path, cache=cache), range(2 * COUNT)), expected)
    # The one that began before stays with what it has seen.
    assert any(
        (one[0] != other[0]).any() for one, other in zip(take(before, range(COUNT, 2 * COUNT)), expected[COUNT:])
    )


@KINDS
def test_too_little_room_is_told_before_the_run(tmp_path, cache):
    config = TrainConfig(dataset_dir=str(tmp_path), cache=cache, img_height=8192, img_width=8192, seq_length=99)
    examples = [Example("drive", str(number)) for number in range(10_000)]
    with pytest.raises(UserError) as error:
        Feed(config, examples, {})
    place = {"memory": "memory", "disk": r"\S+"}[cache]
    expected = (
        rf"cache={cache}: expected 199,313,\d+\.\d MB in {place} for 10,000 decoded examples, found [\d,.]+ MB free"
    )
    assert re.fullmatch(expected, str(error.value))
    Feed(replace(config, cache="none"), examples, {})


def test_a_disk_that_fills_up_on_the_way_ends_the_run_in_one_line(data, tmp_path):
    feed = feed_for(data, tmp_path, cache="disk")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # half an example
    try:
        with pytest.raises(
            UserError, match=r"^cannot read the batch of step 1: .*/sfmlearner-cache-\w+/\d+-\d+; File too l"
        ):
            take(feed, range(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_files(folder: Path, contents: dict[str, str]):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def test_free_memory_is_that_of_the_system_and_of_every_control_group(tmp_path):
    assert find_free_memory(str(tmp_path)) == float("inf")
    write_files(tmp_path, {"proc/meminfo": "MemTotal:  9000 kB\nMemFree:  1000 kB\nMemAvailable:  5000 kB\n"})
    assert find_free_memory(str(tmp_path)) == 5000 * 1024
    group = "sys/fs/cgroup/slurm/job_7"
    files = {
        "proc/self/cgroup": "0::/slurm/job_7/task\n",
        f"{group}/task/memory.max": "max\n",
        f"{group}/task/memory.current": "7\n",
        f"{group}/memory.max": "3000000\n",
        f"{group}/memory.current": "900000\n",
        f"{group}/memory.stat": "anon 1\ninactive_file 100000\nactive_file 5\n",
    }
    write_files(tmp_path, files)
    assert find_free_memory(str(tmp_path)) == 2_200_000
    # The first version; in a container, where the group's own folder is not to be seen.
    files = {
        "proc/self/cgroup": "3:cpuset:/\n2:memory:/docker/1f\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1500000\n",
        "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 200000\n",
    }
    write_files(tmp_path, files)
    assert find_free_memory(str(tmp_path)) == 1_700_000


def test_killed_training_leaves_no_file_of_the_cache(data, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    flags = ["--img_height=32", "--img_width=48", "--batch_size=2", "--val_freq=0", "--num_scales=1", "--cache=disk"]
    folders = [f"--dataset_dir={data}", f"--checkpoint_dir={tmp_path / 'run'}"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = ForkedCommand(small_train.__file__, *flags, *folders, environment=environment)
    wait_for_file(process, scratch, "sfmlearner-cache-*/*", COUNT)
    process.kill()
    output, _ = process.communicate()
    assert f"cache=disk: up to 0.1 MB in {scratch}/sfmlearner-cache-" in output
    deadline = time.monotonic() + 60
    while list(scratch.glob("sfmlearner-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(scratch.glob("sfmlearner-*")) == []
