"""Further inputs of the objective, from their files to the losses."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.data import batches
from sfmlearner_tf.data.extras import EXTRAS, Extra
from sfmlearner_tf.data.formatted import read_split
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.losses.term import Term


def config_for(folder, **options):
    return TrainConfig(dataset_dir=str(folder), batch_size=2, img_height=32, img_width=64, **options)


@pytest.fixture
def extras(monkeypatch):
    """Three further inputs, one of each kind, each a line of the table."""
    read = {
        "prior": Extra("-prior.png", decode_float, "area", lambda config: config.smooth_weight > 0),
        "labels": Extra("-labels.png", lambda content, _: tf.io.decode_png(content), "nearest", lambda config: True),
        "speed": Extra("-speed.txt", lambda content, _: tf.strings.to_number(content), "none", lambda config: True),
    }
    for name, extra in read.items():
        monkeypatch.setitem(EXTRAS, name, extra)


def decode_float(content, _config):
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
        batches.read_example(config_for(folder_with_extras), example)


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
