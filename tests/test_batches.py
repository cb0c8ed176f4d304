import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from formatted_data import write_formatted_data
from sfmlearner_tf import Batch, TrainConfig
from sfmlearner_tf.data import augmentation, batches
from sfmlearner_tf.data.formatted import Example, read_split, write_example


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("formatted")
    write_formatted_data(path)
    return path


def config_for(folder, **options):
    return TrainConfig(dataset_dir=str(folder), batch_size=2, img_height=32, img_width=64, **options)


def take(config, count, first_step=0):
    data = batches.make_batches(config, read_split(config.dataset_dir, "train"), first_step)
    return [[np.asarray(part) for part in tf.nest.flatten(batch)] for batch in itertools.islice(data, count)]


def batch_of(frames, intrinsics):
    """A batch of frames [B, H, W, 9] whose first is the target."""
    return Batch(tf.constant(frames[..., :3]), tf.constant(frames[..., 3:]), tf.constant(intrinsics))


def frames_of(batch):
    """All frames of a batch on the channels, the target first."""
    return np.concatenate([batch.target, batch.sources], axis=-1)


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
    batch = augmentation.scale_and_crop(
        batch_of(frames, intrinsics), tf.constant(scaling), tf.constant(out_size), tf.constant(offset)
    )
    found = frames_of(batch)
    scaled = numpy_area(frames.astype(float), *out_size)[:, 1:21, 2:32]
    # Cut off to uint8; a value within rounding of a whole number may fall to either side.
    clear = np.abs(scaled - np.round(scaled)) > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], scaled.astype(np.uint8)[clear])
    expected = np.float32([[25 * 1.07, 0, 14 * 1.07 - 2], [0, 26 * 1.12, 9 * 1.12 - 1], [0, 0, 1]])
    np.testing.assert_allclose(batch.intrinsics, [expected] * 2, rtol=1e-6)


def test_draws_cover_the_range_and_stay_in_the_image():
    batch = batch_of(np.zeros([1, 40, 60, 9], np.uint8), [[[50.0, 0, 30], [0, 40, 20], [0, 0, 1]]])
    augment = tf.function(augmentation.augment)
    scalings, offsets, rooms = [], [], []  # x, y
    for step in range(300):
        (fx, _, cx), (_, fy, cy), _ = augment(batch, 1, tf.constant(step)).intrinsics[0].numpy()
        scalings.append([fx / 50, fy / 40])
        offsets.append([30 * fx / 50 - cx, 20 * fy / 40 - cy])
        rooms.append([int(60 * fx / 50 + 1e-4) - 60, int(40 * fy / 40 + 1e-4) - 40])
    offsets, rooms = np.round(offsets), np.array(rooms)
    assert (offsets >= 0).all()
    assert (offsets <= rooms).all()
    np.testing.assert_allclose(np.min(scalings, axis=0), 1, atol=0.01)
    np.testing.assert_allclose(np.max(scalings, axis=0), 1.15, atol=0.01)
    np.testing.assert_allclose(np.mean(scalings, axis=0), 1.075, atol=0.01)
    # Each size of the enlargement occurs, and of the room that it leaves all is used: both ends and what lies between.
    assert set(rooms[:, 0]) == set(range(9))
    for axis in (0, 1):
        shares = (offsets[:, axis] / np.maximum(rooms[:, axis], 1))[rooms[:, axis] > 2]
        assert (np.min(shares), np.max(shares)) == (0, 1)
        assert abs(np.mean(shares) - 0.5) < 0.1
    # Both sides are drawn on their own.
    assert abs(np.corrcoef(np.transpose(scalings))[0, 1]) < 0.2
    assert abs(np.corrcoef(np.transpose(offsets / np.maximum(rooms, 1)))[0, 1]) < 0.2


def test_flipped_frames_keep_their_camera():
    frames = np.random.RandomState(0).randint(0, 256, (64, 4, 10, 9)).astype(np.uint8)
    intrinsics = np.tile(np.float32([[8, 0, 4.2], [0, 9, 1.9], [0, 0, 1]]), (64, 1, 1))
    batch = augmentation.flip(batch_of(frames, intrinsics), 5, tf.constant(7, tf.int64))
    found, found_intrinsics = frames_of(batch), batch.intrinsics
    mirrored = np.array([np.array_equal(one, other[:, ::-1]) for one, other in zip(found, frames)])
    assert 16 < mirrored.sum() < 48
    np.testing.assert_array_equal(found[~mirrored], frames[~mirrored])
    # A point at x to the right of the axis, seen at u, is after mirroring at -x and must be seen at 9 - u.
    u = 8 * 0.3 + 4.2
    mirrored_u = found_intrinsics.numpy()[:, 0] @ [-0.3, 0, 1]
    np.testing.assert_allclose(mirrored_u[mirrored], 9 - u, rtol=1e-6)
    np.testing.assert_array_equal(found_intrinsics.numpy()[~mirrored], intrinsics[~mirrored])
    np.testing.assert_array_equal(found_intrinsics[:, 1:], intrinsics[:, 1:])


def test_target_is_the_middle_of_the_strip(folder):
    config, examples = config_for(folder), read_split(str(folder), "train")
    target, sources = batches.load_frames(examples[0].image_path(str(folder)), config)
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
    spec = batches.make_batches(config_for(folder), read_split(str(folder), "train")).element_spec
    assert [part.shape for part in spec[:3]] == [(2, 32, 64, 3), (2, 32, 64, 6), (2, 3, 3)]
    assert spec.extras == {}


def test_whole_examples_have_no_damage(folder):
    assert batches.find_damage(config_for(folder), read_split(str(folder), "train"), position=0) == {}


def test_strips_of_another_size_are_named(folder):
    config, examples = config_for(folder, seq_length=5), read_split(str(folder), "train")
    damage = batches.find_damage(config, examples, position=2)
    assert list(damage) == batches.batch_examples(config, examples, position=2)
    for example, text in damage.items():
        expected = ": expected a strip of 5 frames of 64x32, 320x32 pixels, found 192x32"
        assert text.startswith(example.image_path(str(folder)) + expected)


def test_windows_are_split_into_target_and_sources():
    images = np.random.RandomState(0).randint(0, 256, (2, 5, 4, 6, 3))  # two windows of five images
    targets, sources = batches.stack_windows([list(window) for window in images], 2)
    np.testing.assert_array_equal(targets, images[:, 2])
    for channel, frame in ((0, 0), (3, 1), (6, 3), (9, 4)):
        np.testing.assert_array_equal(sources[..., channel : channel + 3], images[:, frame])


TELLING = {"batch_size": 2, "img_height": 48, "img_width": 80}


@pytest.fixture(scope="module")
def telling_folder(tmp_path_factory):
    """Pictures that show their example (blue), frame (green), column (red) and row (green); cameras that all differ."""
    folder = tmp_path_factory.mktemp("telling")
    rows, columns = np.mgrid[:48, :80]
    for number in range(11):
        frames = [
            np.stack([40 + 2 * columns, 30 + 2 * rows + 40 * frame, 0 * rows + 20 * number], axis=-1)
            for frame in range(3)
        ]
        images = [Image.fromarray(frame.astype(np.uint8)) for frame in frames]
        camera = (50.0 + number, 60.0 + 2 * number, 30.0 + number, 20.0 + 0.5 * number)
        write_example(str(folder), Example("drive", f"{number:010d}"), images, camera, jpeg_quality=95)
    (folder / "train.txt").write_text("".join(f"drive {number:010d}\n" for number in range(11)))
    return folder


class Seen(NamedTuple):
    """What an example in a batch shows of itself: its number, how its camera was scaled, and where it was cropped."""

    number: int
    scaling: tuple[float, float]  # x, y
    offset: tuple[int, int]


def look_at(target, sources, intrinsics):
    """`Seen` of one example; its pictures and its camera must tell the same."""
    number = round(float(np.mean(target[..., 2])) / 20)
    (fx, _, cx), (_, fy, cy), _ = intrinsics.tolist()
    scaling = fx / (50 + number), fy / (60 + 2 * number)
    offset = scaling[0] * (30 + number) - cx, scaling[1] * (20 + 0.5 * number) - cy
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-3)
    for size, axis, share in ((80, 0, scaling[0]), (48, 1, scaling[1])):
        # The picture's own scaling is that to whole pixels. In the middle it shows what lies there in the original.
        middle = (size / 2 + offset[axis]) / (int(size * share + 1e-4) / size) - 0.5
        # Without the rims, into which JPEG lets neighbours run. 0.5 is cut off to uint8, and the fast decoder takes 1.2
        # off red.
        level = np.mean(target[8:-8, 8:-8, axis]) + 0.5 + (1.2 if axis == 0 else 0)
        np.testing.assert_allclose((level - (70 if axis else 40)) / 2, middle, atol=0.3)
    # The frame before is darker in green, that after it brighter.
    greens = [float(np.mean(image[..., 1])) for image in (sources[..., :3], target, sources[..., 3:])]
    np.testing.assert_allclose(np.diff(greens), 40, atol=2)
    return Seen(number, scaling, (round(offset[0]), round(offset[1])))


def test_batches_hold_each_example_with_its_own_camera(telling_folder):
    config = TrainConfig(dataset_dir=str(telling_folder), **TELLING)
    steps = [[look_at(*example) for example in zip(*batch)] for batch in take(config, 33)]
    for step in steps:  # one scaling and crop for the whole batch
        np.testing.assert_allclose(step[0].scaling, step[1].scaling, rtol=1e-5)
        assert step[0].offset == step[1].offset
    # Another scaling at every step, and every pass in another order.
    assert len({round(step[0].scaling[axis], 5) for step in steps for axis in (0, 1)}) == 66
    numbers = [example.number for step in steps for example in step]
    passes = [numbers[first : first + 11] for first in range(0, 66, 11)]
    assert all(sorted(order) == list(range(11)) for order in passes)
    assert len({tuple(order) for order in [list(range(11)), *passes]}) == 7
    # And these are the examples that are named where a step goes wrong.
    examples = read_split(config.dataset_dir, "train")
    for position in (0, 10, 30):
        named = [int(example.frame) for example in batches.batch_examples(config, examples, position)]
        assert named == numbers[position : position + 2]


def test_examples_are_mirrored_anew_at_every_step():
    frames = np.random.RandomState(0).randint(0, 256, (8, 4, 10, 9)).astype(np.uint8)
    batch = batch_of(frames, np.tile(np.eye(3, dtype=np.float32), (8, 1, 1)))
    drawn = [
        tuple(np.any(frames_of(augmentation.flip(batch, seed, tf.constant(step, tf.int64))) != frames, axis=(1, 2, 3)))
        for seed in (1, 2)
        for step in range(6)
    ]
    assert len(set(drawn)) == 12


def test_flips_are_off_until_asked_for_and_drawn_for_each_example(telling_folder):
    """Red rises to the right, unless the example is mirrored."""
    plain, flipped = (
        [
            tuple(np.mean(target[:, 40:, 0]) < np.mean(target[:, :40, 0]) for target in targets)
            for targets, *_ in take(TrainConfig(dataset_dir=str(telling_folder), random_flip=flip, **TELLING), 16)
        ]
        for flip in (False, True)
    )
    assert set(plain) == {(False, False)}
    assert set(flipped) == {(False, False), (False, True), (True, False), (True, True)}
