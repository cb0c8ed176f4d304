"""SfMLearner: the two networks, their joint training step, and what they predict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sfmlearner_tf import checkpoint, sampler
from sfmlearner_tf.adam import ITERATIONS, Adam
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.losses import Objective, compute_objective
from sfmlearner_tf.networks.disp_net import MIN_DISP, DispNet
from sfmlearner_tf.networks.layers import MIN_IMAGE_SIDE
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet
from sfmlearner_tf.watchdogs import SIGNS

# Frames that differ by less than this on average, in grey levels of 255, are taken for the same picture.
_SAME_PICTURE = 0.5


class Outputs(NamedTuple):
    """What the networks and the objective make of one batch."""

    disparities: tuple[tf.Tensor, ...]  # [B, h, w, 1], from the finest scale on
    poses: tf.Tensor  # [B, N, 6], target to source
    objective: Objective


class SfMLearner(tf.Module):
    """Learns depth and camera motion from video.

    Images go in as uint8 RGB: `target` [B, H, W, 3] and `sources` [B, H, W, 3*N] in temporal order; `intrinsics`
    are float32 [B, 3, 3] at full size, pixels. Nothing is augmented in here.

    Args:
        config: options of training; for prediction alone the defaults do.

    Raises:
        UserError: the anchor's checkpoint is not there, damaged, or lacks a variable of DispNet.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(name="sfm_learner")
        self.config = config
        if config.sampler == "addons":
            sampler.load_addons_kernel()
        self.disp_net = DispNet(config.seed, config.min_disp)
        self.pose_exp_net = PoseExpNet(config.num_sources, config.explain, config.seed)
        # Keras makes the variables when a network is first called.
        image = tf.zeros([1, MIN_IMAGE_SIDE, MIN_IMAGE_SIDE, 3])
        self.disp_net(image)
        self.pose_exp_net(image, tf.tile(image, [1, 1, 1, config.num_sources]))
        if config.initial_disp:
            self.disp_net.start_from(config.initial_disp)
        self.anchor_net = load_disp_net(config.anchor_checkpoint_file) if config.anchor_weight else None
        self.weights = {**self.disp_net.release_variables(), **self.pose_exp_net.release_variables()}
        self.optimizer = Adam(self.weights, _learning_rate(config), config.beta1)
        self.global_step = tf.Variable(0, dtype=tf.int32, trainable=False, name="global_step")
        self._min_disp = tf.Variable(config.min_disp, trainable=False, name="min_disp")
        self._compiled_train_step = tf.function(self._train_step, jit_compile=config.jit_compile)
        self._compiled_forward = tf.function(self._forward)
        self._compiled_disparities = tf.function(self._disparities)
        self._compiled_poses = tf.function(self._poses)

    def forward(self, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor) -> dict[str, Any]:
        """What the networks make of a batch, without learning from it.

        Returns:
            depth: S of [B, h, w, 1], camera z, arbitrary scale, from the finest scale on;
            poses: [B, N, 6], target to source, (tx, ty, tz, rx, ry, rz), radians;
            masks: S of [B, h, w, N] in [0, 1], or () without masks;
            projected: S of [B, h, w, 3*N] in [-1, 1], the sources warped into the target;
            losses: total, pixel, smooth and explain, scalars.
        """
        return self._compiled_forward(target, sources, intrinsics)

    def train_step(self, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of Adam; returns the scalars total, pixel, smooth and explain from before it."""
        return self._compiled_train_step(target, sources, intrinsics, tf.constant(False))[0]

    def watched_step(
        self, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """`train_step`, and the signs by which `Watchdogs` judges it: scalars by name, see `_signs`."""
        return self._compiled_train_step(target, sources, intrinsics, tf.constant(True))

    def predict_depth(self, images: tf.Tensor) -> tf.Tensor:
        """Depth [B, H, W, 1], camera z, arbitrary scale, of images uint8 [B, H, W, 3]."""
        return 1 / self._compiled_disparities(images)[0]

    def predict_pose(self, target: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        """Poses [B, N, 6], target to source, as (tx, ty, tz, rx, ry, rz) in the unit of depth and radians."""
        return self._compiled_poses(target, sources)

    def save(self, checkpoint_dir: str) -> str:
        """Writes weights, step and optimiser to `checkpoint_dir`/model-<step>; returns that path."""
        return checkpoint.Checkpoints(checkpoint_dir, self.state()).save_step(int(self.global_step))

    def restore(self, path: str) -> bool:
        """Reads any checkpoint under the release's names, the 2017 ones included.

        Returns:
            Whether the optimiser's state was there too; otherwise it is as at the start.

        Raises:
            UserError: no such checkpoint, or a variable is missing or of another shape; all such are listed; or it was
                trained with another smallest disparity.
        """
        min_disp = checkpoint.read_scalar(path, checkpoint.MIN_DISP, MIN_DISP)
        if not math.isclose(min_disp, self.config.min_disp, rel_tol=1e-6):
            raise UserError(
                f"checkpoint {path} was trained with --min_disp={min_disp:.6g}, expected {self.config.min_disp:.6g}"
            )
        moments = {name: variable for name, variable in self.optimizer.state().items() if name != ITERATIONS}
        found = checkpoint.restore(path, {**self.weights, checkpoint.GLOBAL_STEP: self.global_step}, moments)
        # Files of TensorFlow 1 that hold the moments do not count: there every step was one of Adam's.
        iterations = checkpoint.read_scalar(path, ITERATIONS, int(self.global_step)) if found else 0
        self.optimizer.iterations.assign(iterations)
        return found

    def state(self) -> dict[str, tf.Variable]:
        """All that a checkpoint holds, by name."""
        return {
            **self.weights,
            checkpoint.GLOBAL_STEP: self.global_step,
            checkpoint.MIN_DISP: self._min_disp,
            **self.optimizer.state(),
        }

    def compute(self, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor) -> Outputs:
        """The whole computation of a batch, to be called from within a tf.function."""
        target, sources = preprocess(target), preprocess(sources)
        disparities = self.disp_net(target)[: self.config.num_scales]
        poses, mask_logits = self.pose_exp_net(target, sources)
        intrinsics = tf.cast(intrinsics, tf.float32)
        anchors = self.anchor_net(target)[: self.config.num_scales] if self.anchor_net else ()
        objective = compute_objective(
            self.config, target, sources, intrinsics, disparities, poses, mask_logits, anchors
        )
        return Outputs(disparities, poses, objective)

    def _forward(self, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor) -> dict[str, Any]:
        outputs = self.compute(target, sources, intrinsics)
        return {
            "depth": tuple(1 / disparity for disparity in outputs.disparities),
            "poses": outputs.poses,
            "masks": outputs.objective.masks,
            "projected": outputs.objective.projected,
            "losses": outputs.objective.losses(),
        }

    def _train_step(
        self, target: tf.Tensor, sources: tf.Tensor, intrinsics: tf.Tensor, watch: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        weights = list(self.weights.values())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            outputs = self.compute(target, sources, intrinsics)
            losses = outputs.objective.losses()
        gradients = tape.gradient(losses["total"], weights, unconnected_gradients="zero")
        self.optimizer.apply(gradients)
        self.global_step.assign_add(1)
        nothing = dict.fromkeys(SIGNS, tf.zeros([]))
        signs = tf.cond(watch, lambda: _signs(outputs, gradients, target, sources), lambda: nothing)
        return losses, signs

    def _disparities(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return self.disp_net(preprocess(images))

    def _poses(self, target: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        return self.pose_exp_net(preprocess(target), preprocess(sources))[0]


def _signs(
    outputs: Outputs, gradients: Sequence[tf.Tensor], target: tf.Tensor, sources: tf.Tensor
) -> dict[str, tf.Tensor]:
    """What tells a healthy step from a collapse, scalars under the names of `SIGNS`."""
    log_disparity = tf.math.log(outputs.disparities[0])
    third = log_disparity.shape[1] // 3
    translations, rotations = tf.split(outputs.poses, 2, axis=-1)
    mean_disparity = tf.reduce_mean(outputs.disparities[0])
    masks = outputs.objective.masks
    differences = tf.abs(
        tf.cast(sources, tf.float32) - tf.cast(tf.tile(target, [1, 1, 1, translations.shape[1]]), tf.float32)
    )
    return {
        # Standard deviation over each image.
        "depth_spread": tf.reduce_mean(tf.math.reduce_std(log_disparity, axis=[1, 2, 3])),
        # How much nearer the lowest third of the image is than the highest: the ground is below.
        "bottom_nearness": tf.reduce_mean(log_disparity[:, -third:]) - tf.reduce_mean(log_disparity[:, :third]),
        # As a share of the (harmonic) mean depth, for its unit is arbitrary.
        "translation": tf.reduce_mean(tf.norm(translations, axis=-1)) * mean_disparity,
        "rotation_rad": tf.reduce_mean(tf.norm(rotations, axis=-1)),
        "in_view": outputs.objective.in_view,
        "mask": tf.reduce_mean(masks[0]) if masks else tf.ones([]),
        "identical_frames": tf.reduce_mean(
            tf.cast(tf.reduce_mean(differences, axis=[1, 2, 3]) < _SAME_PICTURE, tf.float32)
        ),
        "gradient_norm": tf.linalg.global_norm(gradients),
    }


def load_disp_net(path: str) -> DispNet:
    """The depth network of a checkpoint, with its range of disparity. Raises UserError where it has none."""
    net = DispNet(min_disp=checkpoint.read_scalar(path, checkpoint.MIN_DISP, MIN_DISP))
    net(tf.zeros([1, MIN_IMAGE_SIDE, MIN_IMAGE_SIDE, 3]))
    checkpoint.restore(path, net.release_variables())
    return net


def _learning_rate(config: TrainConfig) -> float | Callable[[tf.Tensor], tf.Tensor]:
    """The learning rate, or where it changes on the way, what makes it from the steps taken before."""
    if config.lr_decay_after == 1:
        return config.learning_rate
    steps_before = int(config.lr_decay_after * config.max_steps)
    rates = [config.learning_rate, config.learning_rate * config.lr_decay_factor]
    return lambda step: tf.where(step < steps_before, *rates)


def preprocess(images_u8: tf.Tensor) -> tf.Tensor:
    """From uint8 to float32 in [-1, 1].

    Raises:
        ValueError: images of another type.
    """
    if images_u8.dtype != tf.uint8:
        raise ValueError(f"images must be uint8, got {images_u8.dtype.name}")
    return tf.image.convert_image_dtype(images_u8, tf.float32) * 2 - 1
