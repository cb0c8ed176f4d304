"""Times what a training step does besides its convolutions: the sampler, the warp and the losses, with gradients.

    python benchmarks/core.py --rounds=30

Prints rows of the table of benchmarks/bench.py, at 128x416, batch 4, two sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import flags
from timing import row, time_calls

from kitti_eval import command
from sfmlearner_tf import Batch, TrainConfig, sampler
from sfmlearner_tf.losses.objective import make_terms
from sfmlearner_tf.losses.term import add_up, compute_means
from sfmlearner_tf.losses.view import make_views
from sfmlearner_tf.networks.motion import Motion

BATCH, HEIGHT, WIDTH, SOURCES = 4, 128, 416, 2

_ROUNDS = flags.DEFINE_integer("rounds", 30, "Calls that are timed, after a warm-up.", lower_bound=2)


def main() -> None:
    intrinsics = tf.constant([[[241.7, 0, 204.2], [0, 246.3, 59.0], [0, 0, 1]]] * BATCH)
    target, sources = draw(HEIGHT, WIDTH, 3), draw(HEIGHT, WIDTH, 3 * SOURCES)
    disparities = [draw(HEIGHT >> scale, WIDTH >> scale, 1) for scale in range(4)]
    poses = 0.01 * draw(SOURCES, 6)
    x, y = draw(HEIGHT, WIDTH) * (WIDTH - 1), draw(HEIGHT, WIDTH) * (HEIGHT - 1)

    for kernel in list_kernels():

        def sample(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor, kernel: str = kernel) -> tf.Tensor:
            return sampler.sample(images, x, y, kernel).values

        def warp(images: tf.Tensor, depth: tf.Tensor, pose: tf.Tensor, kernel: str = kernel) -> tf.Tensor:
            return sampler.projective_inverse_warp(images, depth, pose, intrinsics, kernel)

        show(f"sampler, {kernel}", sample, [target, x, y])
        show(f"warp, {kernel}", warp, [target, disparities[0][..., 0], poses[:, 0]])

    for preset in ("release", "recommended"):
        terms = make_terms(TrainConfig.from_preset(preset))

        def lose(poses: tf.Tensor, *disparities: tf.Tensor, terms=terms) -> tf.Tensor:
            views = make_views(Batch(target, sources, intrinsics), disparities, Motion(poses, ()))
            return add_up(compute_means(terms, views))["total"]

        show(f"warps and losses of all scales, {preset}", lose, [poses, *disparities])


def draw(*shape: int) -> tf.Tensor:
    """Numbers in [0.1, 1] for each example."""
    return tf.random.stateless_uniform([BATCH, *shape], [0, sum(shape)], 0.1, 1.0)


def list_kernels() -> tuple[str, ...]:
    try:
        sampler.load_addons_kernel()
    except ImportError:
        return ("native",)
    return sampler.KERNELS


def show(name: str, function: Callable[..., tf.Tensor], inputs: Sequence[tf.Tensor]) -> None:
    """Prints the time of a function and its gradients."""

    @tf.function
    def differentiate(*inputs: tf.Tensor) -> list[tf.Tensor]:
        return tf.gradients(function(*inputs), inputs)

    print(row(name, time_calls(lambda: differentiate(*inputs)[-1].numpy(), _ROUNDS.value)), flush=True)


if __name__ == "__main__":
    command.run(main)
