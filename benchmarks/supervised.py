"""What the depth network learns from true depth: how far learning from video alone can get on the generated world.

    python benchmarks/supervised.py --output_dir=learning --steps=2000

World, network, batch size, learning rate and its drop are those of learning.py's recommended. The objective is the mean
absolute error of log depth, summed over the scales; the images are those from before JPEG, and a batch is mirrored as a
whole. The errors go to a CSV beside those of learning.py, whose table shows them when it is next written. The flags are
those of learning.py, which explains them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import learning
import numpy as np
from absl import flags
from whole_numbers import read_whole_numbers

from kitti_eval import command
from sfmlearner_tf.tools import demo_world, held_out
from sfmlearner_tf.watchdogs import READINGS

if TYPE_CHECKING:
    import tensorflow as tf

# The depth, in metres, at which the network begins: where its disparity is 1.
UNIT_M = 14.0


def main() -> None:
    import tensorflow as tf

    seeds = read_whole_numbers(flags.FLAGS["seeds"])
    tf.config.threading.set_intra_op_parallelism_threads(flags.FLAGS.threads)
    folder, steps = Path(flags.FLAGS.output_dir), flags.FLAGS.steps
    drives = learning.read_drives(folder)
    seen, _ = demo_world.split_drives(folder / "world" / "kitti_raw")
    triplets = [triplet for drive in seen for triplet in held_out.read_triplets(drive)]
    for seed in seeds:
        path = Path(flags.FLAGS.results_dir) / f"supervised-{steps}-{seed}.csv"
        learning.write_rows(path, train(seed, steps, triplets, drives))


def train(
    seed: int, steps: int, triplets: list[held_out.Triplet], drives: list[learning.Drive]
) -> Iterator[tuple[float, ...]]:
    """One run; yields rows of learning.COLUMNS, with the loss for that of pixels, and nothing of motion."""
    import tensorflow as tf
    from tqdm import tqdm

    from sfmlearner_tf import SfMLearner, TrainConfig
    from sfmlearner_tf.images import preprocess

    config = TrainConfig.from_preset("recommended", seed=seed, max_steps=steps + 1)
    learner = SfMLearner(config)
    variables = learner.trainable_variables

    @tf.function
    def step_on(images: tf.Tensor, depths_m: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = compute_loss(learner.disp_net(preprocess(images), training=True), depths_m)
        # The pose network has no share in it: its gradients are 0, and so are Adam's steps.
        learner.apply(tape.gradient(loss, variables, unconnected_gradients="zero"))
        return loss

    random, started, losses = np.random.RandomState(seed), time.time(), []
    nothing = [float("nan")] * (len(READINGS) + 1)  # no watchdog looks
    yield 0, learning.evaluate(learner, drives)[0], *[float("nan")] * 5, *nothing
    for step in tqdm(range(1, steps + 1), unit="step", disable=None):
        losses.append(float(step_on(*draw_batch(random, triplets, config.batch_size))))
        if step % flags.FLAGS.eval_freq == 0 or step == steps:
            abs_rel, loss = learning.evaluate(learner, drives)[0], float(np.mean(losses))
            print(f"step {step}, abs_rel {abs_rel:.4g}, loss {loss:.4g}", flush=True)
            yield step, abs_rel, *[float("nan")] * 3, loss, time.time() - started, *nothing
            losses = []


def compute_loss(disparities: Sequence[tf.Tensor], depths_m: tf.Tensor) -> tf.Tensor:
    """The mean absolute error of log depth where that is known, summed over the scales.

    Args:
        disparities: S of [B, h, w, 1], from the finest scale on.
        depths_m: [B, H, W], metres, 0 where unknown.
    """
    import tensorflow as tf

    losses = []
    for scale, disparity in enumerate(disparities):
        truth = depths_m[:, :: 2**scale, :: 2**scale, tf.newaxis]
        known = tf.cast((truth > 0) & (truth < held_out.MAX_DEPTH_M), tf.float32)
        error = tf.abs(tf.math.log(disparity) - tf.math.log(UNIT_M / tf.maximum(truth, 1)))
        losses.append(tf.reduce_sum(known * error) / tf.reduce_sum(known))
    return tf.add_n(losses)


def draw_batch(random: np.random.RandomState, triplets: list[held_out.Triplet], batch_size: int) -> tuple:
    """Images uint8 [B, H, W, 3] and depths [B, H, W] in metres, mirrored or not, enlarged and cut out."""
    import tensorflow as tf

    from sfmlearner_tf.data.augmentation import MAX_SCALING

    chosen = [triplets[i] for i in random.randint(0, len(triplets), batch_size)]
    images, depths_m = np.stack([t.target for t in chosen]), np.stack([t.depth_m for t in chosen])
    if random.rand() < 0.5:
        images, depths_m = images[:, :, ::-1], depths_m[:, :, ::-1]
    height, width = images.shape[1:3]
    size = [int(side * factor) for side, factor in zip((height, width), random.uniform(1, MAX_SCALING, 2))]
    top, left = (random.randint(0, large - side + 1) for large, side in zip(size, (height, width)))
    area = (slice(None), slice(top, top + height), slice(left, left + width))
    larger = tf.cast(tf.image.resize(images, size, "area"), tf.uint8)
    return larger[area], tf.image.resize(depths_m[..., np.newaxis], size, "nearest")[..., 0][area]


if __name__ == "__main__":
    command.run(main)
