import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig
from sfmlearner_tf.data import batches
from sfmlearner_tf.data.formatted import read_split
from sfmlearner_tf.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("formatted")
    write_formatted_data(path)
    return path


def config_for(folder, **options):
    return TrainConfig(dataset_dir=str(folder), batch_size=2, img_height=32, img_width=64, **options)


def take(config, count, first_step=0):
    data = batches.make_batches(config, read_split(config.dataset_dir, "train"), first_step)
    return [[np.asarray(part) for part in batch] for batch in itertools.islice(data, count)]


def assert_same(first, second):
    for one, other in zip(first, second):
        for part, other_part in zip(one, other):
            np.testing.assert_array_equal(part, other_part)


def numpy_area(images, height, width):
    """Each output pixel is the mean of the area it covers, by sums over a grid fine enough to be exact to 1/64."""
    for axis, size in ((1, height), (2, width)):
        full = images.shape[axis]
        edges = np.arange(size + 1) * full / size
        sums = np.concatenate([np.zeros_like(images.take([0], axis)), np.cumsum(images, axis)], axis)
        whole = np.minimum(edges.astype(int), full - 1)
        part = (edges - whole).reshape([-1 if i == axis else 1 for i in range(4)])
        integral = sums.take(whole, axis) + part * images.take(whole, axis)
        images = np.diff(integral, axis=axis) * size / full
    return images


def test_augmentation_equals_numpy():
    random = np.random.RandomState(0)
    frames = random.randint(0, 256, (2, 20, 30, 9)).astype(np.uint8)
    intrinsics = np.tile(np.float32([[25, 0, 14], [0, 26, 9], [0, 0, 1]]), (2, 1, 1))
    scaling, offset = np.float32([1.12, 1.07]), [1, 2]  # y, x
    out_size = [22, 32]  # 20 * 1.12 and 30 * 1.07, cut off
    found, found_intrinsics = batches.scale_and_crop(
        tf.constant(frames), tf.constant(intrinsics), tf.constant(scaling), tf.constant(out_size), tf.constant(offset)
    )
    scaled = numpy_area(frames.astype(float), *out_size)[:, 1:21, 2:32]
    # Cut off to uint8; a value within rounding of a whole number may fall to either side.
    clear = np.abs(scaled - np.round(scaled)) > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found.numpy()[clear], scaled.astype(np.uint8)[clear])
    expected = np.float32([[25 * 1.07, 0, 14 * 1.07 - 2], [0, 26 * 1.12, 9 * 1.12 - 1], [0, 0, 1]])
    np.testing.assert_allclose(found_intrinsics, [expected] * 2, rtol=1e-6)


def test_draws_cover_the_range_and_stay_in_the_image():
    frames = tf.zeros([1, 40, 60, 9], tf.uint8)
    intrinsics = tf.constant([[[50.0, 0, 30], [0, 40, 20], [0, 0, 1]]])
    scalings, lefts = [], []
    augment = tf.function(batches.augment)
    for step in range(300):
        _, matrix = augment(frames, intrinsics, 1, tf.constant(step))
        (fx, _, cx), (_, fy, cy), _ = matrix[0].numpy()
        x_scaling, y_scaling = fx / 50, fy / 40
        left, top = 30 * x_scaling - cx, 20 * y_scaling - cy
        assert -1e-3 <= left <= int(60 * x_scaling + 1e-3) - 60 + 1e-3
        assert -1e-3 <= top <= int(40 * y_scaling + 1e-3) - 40 + 1e-3
        scalings += [x_scaling, y_scaling]
        lefts.append(round(left))
    assert 1 <= min(scalings) < 1.01
    assert 1.14 < max(scalings) < 1.15
    assert abs(np.mean(scalings) - 1.075) < 0.01
    assert set(lefts) >= set(range(8))


def test_flipped_frames_keep_their_camera():
    frames = np.random.RandomState(0).randint(0, 256, (64, 4, 10, 9)).astype(np.uint8)
    intrinsics = np.tile(np.float32([[8, 0, 4.2], [0, 9, 1.9], [0, 0, 1]]), (64, 1, 1))
    found, found_intrinsics = batches.flip(tf.constant(frames), tf.constant(intrinsics), 5, tf.constant(7, tf.int64))
    mirrored = np.array([np.array_equal(one, other[:, ::-1]) for one, other in zip(found, frames)])
    assert 16 < mirrored.sum() < 48
    np.testing.assert_array_equal(found.numpy()[~mirrored], frames[~mirrored])
    # A point at x to the right of the axis, seen at u, is after mirroring at -x and must be seen at 9 - u.
    u = 8 * 0.3 + 4.2
    mirrored_u = found_intrinsics.numpy()[:, 0] @ [-0.3, 0, 1]
    np.testing.assert_allclose(mirrored_u[mirrored], 9 - u, rtol=1e-6)
    np.testing.assert_array_equal(found_intrinsics.numpy()[~mirrored], intrinsics[~mirrored])
    np.testing.assert_array_equal(found_intrinsics[:, 1:], intrinsics[:, 1:])


def test_flips_are_off_until_asked_for(folder):
    plain, flipped = (take(config_for(folder, random_flip=flip), 4) for flip in (False, True))
    changed = [not np.array_equal(one[0], other[0]) for one, other in zip(plain, flipped)]
    assert any(changed)
    assert_same(flipped, take(config_for(folder, random_flip=True), 4))


def test_one_scaling_and_crop_per_batch(folder):
    for _, _, intrinsics in take(config_for(folder), 3):
        np.testing.assert_array_equal(intrinsics[0], intrinsics[1])


def test_every_example_comes_once_an_epoch_in_another_order(folder):
    config, examples = config_for(folder), read_split(str(folder), "train")
    epochs = [
        [e for position in range(first, first + 6, 2) for e in batches.batch_examples(config, examples, position)]
        for first in (0, 6)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(examples)
    assert epochs[0] != epochs[1]


def test_target_is_the_middle_of_the_strip(folder):
    config, examples = config_for(folder), read_split(str(folder), "train")
    frames = batches.load_frames(examples[0].image_path(str(folder)), config)
    target, sources = batches.split_frames(frames, 3)
    strip = tf.io.decode_jpeg(tf.io.read_file(examples[0].image_path(str(folder))))
    np.testing.assert_array_equal(target, strip[:, 64:128])
    np.testing.assert_array_equal(sources, np.concatenate([strip[:, :64], strip[:, 128:]], axis=-1))


def test_the_seed_alone_decides(folder):
    reference = take(config_for(folder, num_threads=1), 5)
    assert_same(reference, take(config_for(folder, num_threads=4), 5))
    assert_same(reference, take(config_for(folder), 5))
    other = take(config_for(folder, seed=1), 5)
    assert any((one[0] != another[0]).any() for one, another in zip(reference, other))


def test_starting_later_gives_the_same_batches(folder):
    assert_same(take(config_for(folder), 7)[4:], take(config_for(folder), 3, first_step=4))


def test_starting_after_other_batch_sizes_takes_the_examples_that_follow(folder):
    # The first example of a batch of two, at the same step and so scaled and cropped alike.
    targets = [target[0] for target, _, _ in take(config_for(folder), 5)]
    config = dataclasses.replace(config_for(folder), batch_size=1)
    data = batches.make_batches(config, read_split(config.dataset_dir, "train"), first_step=4, position=8)
    np.testing.assert_array_equal(next(iter(data))[0][0], targets[4])


def test_shapes_are_known_in_advance(folder):
    data = batches.make_batches(config_for(folder), read_split(str(folder), "train"))
    assert [spec.shape for spec in data.element_spec] == [(2, 32, 64, 3), (2, 32, 64, 6), (2, 3, 3)]


def test_a_whole_file_is_not_diagnosed(folder):
    batches.diagnose(config_for(folder), read_split(str(folder), "train"), position=0)


def test_strips_of_another_size_are_named(folder):
    config = config_for(folder, seq_length=5)
    with pytest.raises(UserError, match=r"\.jpg: expected a strip of 5 frames of 64x32, 320x32 pixels, found 192x32"):
        batches.diagnose(config, read_split(str(folder), "train"), position=0)
