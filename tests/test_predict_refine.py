"""Depth after a few steps of training on the frames themselves."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf import SfMLearner, TrainConfig, run_config
from sfmlearner_tf.data.sequences import Frame, Intrinsics
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_input import Picture
from sfmlearner_tf.tools.predict_refine import LEARNING_RATE, Refiner, find_options

HEIGHT, WIDTH = 32, 64
OPTIONS = {"img_height": HEIGHT, "img_width": WIDTH, "num_scales": 1}
CAMERA = Intrinsics(80.0, 78.0, 62.0, 33.0)  # of pictures twice as large


def make_pictures(count):
    """Smooth pictures that drift."""
    coarse = np.random.RandomState(0).randint(0, 256, (4, 12, 3)).astype(np.uint8)
    wide = Image.fromarray(coarse).resize((2 * WIDTH + 8 * count, 2 * HEIGHT), Image.Resampling.BICUBIC)
    pictures = []
    for number in range(count):
        image = wide.crop((8 * number, 0, 8 * number + 2 * WIDTH, 2 * HEIGHT))
        resized = {"depth": np.asarray(image.resize((WIDTH, HEIGHT)))}
        pictures.append(Picture(number, Frame(str(number), f"{number}.png"), image, resized))
    return pictures


@pytest.fixture
def ckpt_file(small_depth_network, tmp_path):
    """A run of five frames."""
    config = TrainConfig(**OPTIONS, seq_length=5, ssim_weight=0.85, learning_rate=0.01, lr_decay_after=0.5)
    run_config.write(config, str(tmp_path))
    return SfMLearner(config).save(str(tmp_path))


def train_by_hand(ckpt_file, window, wanted, steps):
    """Depth of a picture after steps on five others, from new on."""
    learner = SfMLearner(TrainConfig(**OPTIONS, seq_length=5, ssim_weight=0.85, batch_size=1, learning_rate=1e-4))
    learner.restore_weights(ckpt_file)
    frames = [picture.resized["depth"] for picture in window]
    sources = np.concatenate([frames[i] for i in (0, 1, 3, 4)], axis=-1)
    camera = np.float32([[[40, 0, 31], [0, 39, 16.5], [0, 0, 1]]])
    for _ in range(steps):
        learner.train_step(frames[2][np.newaxis], sources[np.newaxis], camera)
    return learner.predict_depth(wanted.resized["depth"][np.newaxis]).numpy()[0, ..., 0]


def test_each_frame_learns_from_its_own_neighbours_and_forgets_them(ckpt_file):
    pictures = make_pictures(7)
    config = find_options(ckpt_file, HEIGHT, WIDTH)
    assert (config.learning_rate, config.batch_size, config.ssim_weight) == (LEARNING_RATE, 1, 0.85)
    refiner = Refiner(ckpt_file, config, 3, lambda width, height: CAMERA)
    found = list(refiner.predict_depths(iter(pictures)))
    assert [picture.number for picture, _ in found] == list(range(7))
    # The first three share the first window, the last three the last.
    for number, first in ((0, 0), (3, 1), (6, 2)):
        expected = train_by_hand(ckpt_file, pictures[first : first + 5], pictures[number], 3)
        np.testing.assert_allclose(found[number][1], expected, rtol=1e-5)
    plain = train_by_hand(ckpt_file, pictures[:5], pictures[2], 0)
    assert np.abs(found[2][1] / plain - 1).max() > 1e-5


def test_exactly_as_many_frames_as_a_window(ckpt_file):
    refiner = Refiner(ckpt_file, find_options(ckpt_file, HEIGHT, WIDTH), 1, lambda width, height: CAMERA)
    assert [picture.number for picture, _ in refiner.predict_depths(make_pictures(5))] == list(range(5))


def test_a_run_with_masks_of_objects_is_refused(tmp_path):
    run_config.write(TrainConfig(object_motion=True), str(tmp_path))
    with pytest.raises(UserError, match="--refine_steps: expected a run that needs no masks of objects"):
        find_options(str(tmp_path / "model.latest"), HEIGHT, WIDTH)


def test_what_a_run_had_beside_its_frames_is_left_out(tmp_path):
    config = TrainConfig(
        speed_weight=0.1, val_kitti_dir="gone", best_metric="abs_rel", anchor_weight=0.1, anchor_checkpoint_file="gone"
    )
    run_config.write(config, str(tmp_path))
    found = find_options(str(tmp_path / "model.latest"), HEIGHT, WIDTH)
    assert (found.speed_weight, found.val_kitti_dir, found.anchor_weight) == (0, "", 0)
