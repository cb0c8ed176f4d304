"""Which examples come when, and how they are augmented: by the seed and the step, whoever reads them."""

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import Batch, TrainConfig
from sfmlearner_tf.data import augmentation, batches
from sfmlearner_tf.data.formatted import Example, read_split


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("formatted")
    write_formatted_data(path)
    return path


def config_for(folder, batch_size=2, **options):
    return TrainConfig(dataset_dir=str(folder), batch_size=batch_size, img_height=32, img_width=64, **options)


@pytest.mark.parametrize("count", [2, 4])
def test_shares_of_all_workers_are_the_batch(folder, count):
    """Images, cameras, crops and flips; also from the middle of an epoch on."""
    config = config_for(folder, batch_size=4, random_flip=True)
    examples = read_split(config.dataset_dir, "train")
    whole = batches.make_batches(config, examples, first_step=3, position=10).take(5)
    shares = [
        batches.make_batches(config, examples, 3, 10, augmentation.Share(index, count)).take(5)
        for index in range(count)
    ]
    for batch, *parts in zip(whole, *shares):
        for expected, *found in zip(batch[:3], *(part[:3] for part in parts)):
            np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_seed_means_the_same_in_every_version():
    """Order, scaling, crop and flips of two steps, as recorded: runs that go on depend on them."""
    config = TrainConfig(batch_size=4, seed=8964)
    examples = [Example("drive", str(number)) for number in range(10)]
    order = [int(e.frame) for position in (0, 4, 8, 12) for e in batches.batch_examples(config, examples, position)]
    assert order == [0, 4, 6, 7, 2, 3, 1, 9, 8, 5, 0, 3, 9, 8, 1, 5]
    camera = tf.tile(tf.constant([[[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]]), [4, 1, 1])
    batch = Batch(tf.zeros([4, 100, 200, 3], tf.uint8), tf.zeros([4, 100, 200, 6], tf.uint8), camera)
    shifted = batch._replace(intrinsics=camera + tf.constant([[0, 0, 20.0], [0, 0, 0], [0, 0, 0]]))
    for step, focal, centre, flipped in (
        (0, (105.981766, 114.24295), (94.981766, 51.121475), (79, 79, 79, 120)),
        (7, (100.50449, 110.70782), (99.50449, 50.35391), (79, 79, 120, 79)),
    ):
        found = augmentation.augment(batch, 8964, tf.constant(step, tf.int64)).intrinsics[0].numpy()
        np.testing.assert_allclose(found, [[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]], rtol=1e-6)
        found = augmentation.flip(shifted, 8964, tf.constant(step, tf.int64)).intrinsics[:, 0, 2]
        np.testing.assert_array_equal(found, flipped)


def test_batches_begin_with_the_first_step(folder):
    config = config_for(folder)
    examples = read_split(config.dataset_dir, "train")
    for one, other in zip(
        batches.make_batches(config, examples).take(2), batches.make_batches(config, examples, first_step=0).take(2)
    ):
        for part, expected in zip(one[:3], other[:3]):
            np.testing.assert_array_equal(part, expected)


def test_shares_of_three_are_mirrored_as_the_batch_is():
    images = [tf.constant(np.random.RandomState(0).randint(0, 256, (6, 4, 10, count)), tf.uint8) for count in (3, 6)]
    whole = Batch(*images, tf.constant(np.tile(np.eye(3, dtype=np.float32), (6, 1, 1))))
    for step in range(4):
        expected = augmentation.flip(whole, 5, tf.constant(step, tf.int64))
        for index in range(2):
            part = tf.nest.map_structure(lambda values, index=index: values[3 * index : 3 * index + 3], whole)
            found = augmentation.flip(part, 5, tf.constant(step, tf.int64), augmentation.Share(index, 2))
            np.testing.assert_array_equal(found.target, expected.target[3 * index : 3 * index + 3])


def test_room_for_a_single_example_is_counted_to_the_byte(folder, monkeypatch):
    config = config_for(folder, cache="memory")
    monkeypatch.setattr(batches, "open_cache", lambda kind, count, size: (kind, count, size))
    example = read_split(str(folder), "train")[0]
    pixels = 3 * config.img_height * config.img_width * config.seq_length
    assert batches.make_cache(config, [example]) == ("memory", 1, pixels + 9 * 4)


def test_one_window_is_split_like_several():
    window = [np.full((2, 3, 3), number, np.uint8) for number in range(3)]
    targets, sources = batches.stack_windows([window], len(window) // 2)
    assert (targets.shape, sources.shape) == ((1, 2, 3, 3), (1, 2, 3, 6))
    assert (targets.max(), sources[..., 0].max(), sources[..., 5].min()) == (1, 0, 2)
