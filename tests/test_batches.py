import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import Batch, SfMLearner, TrainConfig
from sfmlearner_tf.data import batches
from sfmlearner_tf.data.extras import EXTRAS, Extra
from sfmlearner_tf.data.formatted import read_split
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.losses.term import Term


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
    batch = batches.scale_and_crop(
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
    scalings, lefts = [], []
    augment = tf.function(batches.augment)
    for step in range(300):
        (fx, _, cx), (_, fy, cy), _ = augment(batch, 1, tf.constant(step)).intrinsics[0].numpy()
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
    batch = batches.flip(batch_of(frames, intrinsics), 5, tf.constant(7, tf.int64))
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
    spec = batches.make_batches(config_for(folder), read_split(str(folder), "train")).element_spec
    assert [part.shape for part in spec[:3]] == [(2, 32, 64, 3), (2, 32, 64, 6), (2, 3, 3)]
    assert spec.extras == {}


def test_a_whole_file_is_not_diagnosed(folder):
    batches.diagnose(config_for(folder), read_split(str(folder), "train"), position=0)


def test_strips_of_another_size_are_named(folder):
    config = config_for(folder, seq_length=5)
    with pytest.raises(UserError, match=r"\.jpg: expected a strip of 5 frames of 64x32, 320x32 pixels, found 192x32"):
        batches.diagnose(config, read_split(str(folder), "train"), position=0)


def test_windows_are_split_into_target_and_sources():
    images = np.random.RandomState(0).randint(0, 256, (2, 5, 4, 6, 3))  # two windows of five images
    targets, sources = batches.stack_windows([list(window) for window in images])
    np.testing.assert_array_equal(targets, images[:, 2])
    for channel, frame in ((0, 0), (3, 1), (6, 3), (9, 4)):
        np.testing.assert_array_equal(sources[..., channel : channel + 3], images[:, frame])


@pytest.fixture
def extras(monkeypatch):
    """Three further inputs, one of each kind, each a line of the table."""
    read = {
        "prior": Extra("-prior.png", decode_float, "area", lambda config: config.smooth_weight > 0),
        "labels": Extra("-labels.png", tf.io.decode_png, "nearest", lambda config: True),
        "speed": Extra("-speed.txt", lambda content: tf.strings.to_number(content), "none", lambda config: True),
    }
    for name, extra in read.items():
        monkeypatch.setitem(EXTRAS, name, extra)


def decode_float(content):
    return tf.cast(tf.io.decode_png(content), tf.float32) / 255


@pytest.fixture
def folder_with_extras(tmp_path):
    """Formatted data whose labels and prior are made of the target picture, and speeds that tell the examples apart."""
    write_formatted_data(tmp_path)
    for number, example in enumerate(read_split(str(tmp_path), "train")):
        stem = example.stem(str(tmp_path))
        target = tf.io.decode_jpeg(tf.io.read_file(stem + ".jpg"))[:, 64:128]
        for suffix, values in (("-labels.png", target[..., :1] // 64), ("-prior.png", target[..., :1])):
            tf.io.write_file(stem + suffix, tf.io.encode_png(values))
        Path(stem + "-speed.txt").write_text(str(10.0 + number))
    return tmp_path


def test_extras_go_through_the_augmentation_with_the_frames(extras, folder_with_extras):
    config = config_for(folder_with_extras, random_flip=True, num_threads=1)
    examples = read_split(config.dataset_dir, "train")
    plain = dict(zip(examples, (batches.load_example(e.stem(config.dataset_dir), config) for e in examples)))
    data = batches.make_batches(config, examples)
    moved = 0
    for step, batch in enumerate(itertools.islice(data, 6)):
        labels, prior = batch.extras["labels"].numpy(), batch.extras["prior"].numpy()
        assert (labels.dtype, prior.dtype) == (np.uint8, np.float32)
        red = batch.target.numpy()[..., :1].astype(int)
        # Augmented alike, so they still fit the picture: labels to a rounding at the borders, the prior exactly.
        np.testing.assert_allclose(255 * prior, red, atol=1.01)
        assert np.mean(labels == red // 64) > 0.9
        assert set(np.unique(labels)) <= {0, 1, 2, 3}
        for example, speed in zip(batches.batch_examples(config, examples, 2 * step), batch.extras["speed"].numpy()):
            assert speed == 10 + int(example.frame)
            moved += not np.array_equal(plain[example].target, batch.target[0])
    assert moved > 6


def test_only_extras_that_are_needed_are_read(extras, folder_with_extras):
    example = read_split(str(folder_with_extras), "train")[0]
    stem = example.stem(str(folder_with_extras))
    Path(stem + "-prior.png").unlink()
    assert set(batches.load_example(stem, config_for(folder_with_extras, smooth_weight=0.0)).extras) == {
        "labels",
        "speed",
    }
    with pytest.raises(UserError, match=r"0000000000-prior\.png: expected prior of the example, found .*No such file"):
        batches.diagnose_example(config_for(folder_with_extras), example)


@pytest.mark.usefixtures("small_depth_network")
def test_extras_reach_every_scale_of_the_objective(extras, folder_with_extras):
    config = config_for(folder_with_extras)
    batch = next(iter(batches.make_batches(config, read_split(config.dataset_dir, "train"))))
    seen = {}
    learner = SfMLearner(config)
    learner._terms.append(Term("dummy", 1.0, lambda views: [remember(seen, view) for view in views]))
    out = learner.forward(batch)
    for scale in range(4):
        size = [2, 32 // 2**scale, 64 // 2**scale, 1]
        assert {name: shape for (s, name), shape in seen.items() if s == scale} == {
            "prior": size, "labels": size, "speed": [2]
        }  # fmt: skip
    prior = batch.extras["prior"].numpy()
    np.testing.assert_allclose(out["losses"]["dummy"], 4 * prior.mean(), rtol=1e-5)


def remember(seen, view):
    """A loss of an input, here the prior alone."""
    for name, values in view.extras.items():
        seen[view.scale, name] = values.shape.as_list()
    return view.extras["prior"]
