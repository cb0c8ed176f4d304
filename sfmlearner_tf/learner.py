"""SfMLearner: the two networks, their joint training step, and what they predict."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from sfmlearner_tf import checkpoint, distribution, readings, sampler
from sfmlearner_tf.adam import ITERATIONS, Adam
from sfmlearner_tf.batch import Batch, as_batch
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.geometry import mirror_back
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.learning_rate import LearningRate
from sfmlearner_tf.loss_scale import LossScale
from sfmlearner_tf.losses.depth_maps import predict_maps
from sfmlearner_tf.losses.explainability import explainability
from sfmlearner_tf.losses.moving_objects import blank_objects, find_object_motion
from sfmlearner_tf.losses.objective import make_terms
from sfmlearner_tf.losses.term import Mean, add_up, compute_means
from sfmlearner_tf.losses.view import View, make_views, turn_around
from sfmlearner_tf.model_options import PARAMETRIZATIONS
from sfmlearner_tf.networks.building import build_network, load_network, read_options
from sfmlearner_tf.networks.depth_network import check_depth
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion
from sfmlearner_tf.networks.object_motion import ObjectMotionNet

if TYPE_CHECKING:
    from typing_extensions import Self


class Outputs(NamedTuple):
    """What the networks and the objective make of one batch."""

    motion: Motion | ExtendedMotion
    views: list[View]  # from the finest scale on
    means: dict[str, list[Mean]]  # of the terms of the objective


class Gradients(NamedTuple):
    """What one step is taken from.

    gradients: of the trained variables, in their order. means: sums and normalisers of the losses, `add_up` makes
    the losses of them. readings: see `watchdogs.READINGS`, 0 unless they were asked for.
    """

    gradients: list[tf.Tensor]
    means: dict[str, list[Mean]]
    readings: dict[str, tf.Tensor]


class SfMLearner:
    """Learns depth and camera motion from video.

    Made in the scope of a tf.distribute strategy it trains on all devices of that: a batch that is given to a step is
    shared out among those of this process, and the losses and gradients are those of the whole batch.

    Wherever a batch is asked for, give a `Batch` or its fields: target uint8 [B, H, W, 3], sources uint8
    [B, H, W, 3*N] in temporal order, intrinsics float32 [B, 3, 3] at full size, pixels. Nothing is augmented in here.

    Args:
        config: options of training; for prediction alone the defaults do.

    Raises:
        UserError: the anchor's checkpoint is missing, damaged, or lacks a variable of the depth network.
        ImportError: sampler "addons" without tensorflow-addons.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._strategy = tf.distribute.get_strategy()
        if config.sampler == "addons":
            sampler.load_addons_kernel()
        self.disp_net = build_network("depth", config)
        self.pose_exp_net = build_network("pose", config)
        self.anchor_net = load_network(config.anchor_checkpoint_file, "depth") if config.anchor_weight else None
        self.object_net = ObjectMotionNet.from_train_config(config) if config.object_motion else None
        self.networks = [net for net in (self.disp_net, self.pose_exp_net, self.object_net) if net]
        self._variables = {name: value for net in self.networks for name, value in net.release_variables().items()}
        trained = {name: variable for name, variable in self._variables.items() if variable.trainable}
        self.optimizer = Adam(trained, config.beta1)
        self._loss_scale = LossScale() if config.precision == "float16" else None
        self._terms = make_terms(config)
        self.global_step = distribution.make_counter("global_step")
        self._learning_rate = LearningRate(config)
        self.disp_net.follow(self.global_step)
        self._min_disp = tf.Variable(config.min_disp, trainable=False, name="min_disp")
        parametrization = PARAMETRIZATIONS.index(config.depth_parametrization)
        self._parametrization = tf.Variable(parametrization, trainable=False, dtype=tf.int64)
        # Nothing below is Python's control flow over tensors; looking for it would delay the first step by seconds.
        function = partial(tf.function, autograph=False)
        # XLA compiles no communication: each replica compiles what comes before the losses of all are added up.
        several = tf.distribute.has_strategy()
        self._observe = function(self._look, jit_compile=True) if several and config.jit_compile else self._look
        self._compiled_gradients = function(self._compute_gradients, jit_compile=config.jit_compile and not several)
        self._replica_gradients = self._compute_gradients if several else self._compiled_gradients
        self._compiled_train_step = function(self._train_step)
        self._compiled_forward = function(self._forward)
        self._compiled_depth = function(lambda images: 1 / self.disp_net(preprocess(images))[0])
        self._compiled_poses = function(
            lambda target, sources: self.pose_exp_net(preprocess(target), preprocess(sources)).poses
        )

    @classmethod
    def from_checkpoint(cls, path: str) -> Self:
        """The learner of a run with the weights of one of its checkpoints; the authors' released ones do, too.

        Raises UserError as `restore` does.
        """
        learner = cls(read_options(path))
        learner.restore_weights(path)
        return learner

    @property
    def trainable_variables(self) -> list[tf.Variable]:
        """What is trained, in the order of `Gradients.gradients`."""
        return list(self.optimizer.variables_by_name.values())

    def release_variables(self) -> dict[str, tf.Variable]:
        """The variables of all networks under the release's names, such as "depth_net/cnv1/weights"."""
        return dict(self._variables)

    def forward(self, *batch: Any, **fields: Any) -> dict[str, Any]:
        """What the networks make of a batch, without learning from it.

        Returns:
            depth: S of [B, h, w, 1], camera z, arbitrary scale, from the finest scale on;
            poses: [B, N, 6], target to source, (tx, ty, tz, rx, ry, rz), radians;
            masks: S of [B, h, w, N] in [0, 1], or () without masks;
            projected: S of [B, h, w, 3*N] in [-1, 1], the sources warped into the target;
            intrinsics: [B, 3, 3], pixels, those of the batch or those that were learned;
            losses: total, pixel, smooth, explain and further terms of the objective, scalars.
        """
        return self._compiled_forward(as_batch(*batch, **fields))

    def train_step(self, *batch: Any, **fields: Any) -> dict[str, tf.Tensor]:
        """One step of Adam; returns the losses from before it, as `forward` does."""
        return self._step(as_batch(*batch, **fields), watch=False)[0]

    def watched_step(self, *batch: Any, **fields: Any) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """`train_step`, and the readings by which `Watchdogs` judges it: scalars by name, see `readings.measure`."""
        return self._step(as_batch(*batch, **fields), watch=True)

    def predict_depth(self, images: tf.Tensor) -> tf.Tensor:
        """Depth [B, H, W, 1], camera z, arbitrary scale, of images uint8 [B, H, W, 3]; of one [H, W, 3] its [H, W]."""
        if len(images.shape) == 3:
            return self._compiled_depth(images[tf.newaxis])[0, ..., 0]
        return self._compiled_depth(images)

    def predict_pose(self, target: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        """Poses [B, N, 6], target to source, as (tx, ty, tz, rx, ry, rz) in the unit of depth and radians."""
        return self._compiled_poses(target, sources)

    def save(self, checkpoint_dir: str) -> str:
        """Writes weights, step and optimiser to `checkpoint_dir`/model-<step>; returns that path. Deletes nothing."""
        return CheckpointFolder(checkpoint_dir, self.state()).save_step(int(self.global_step.numpy()))

    def restore(self, path: str) -> bool:
        """Reads weights and step, and Adam's moments if they are there, from any checkpoint under the release's names.

        Returns:
            Whether Adam's moments were there; otherwise they are as at the start.

        Raises:
            UserError: no such checkpoint, variables that are missing or of another shape (all are listed), or another
                smallest disparity or parametrization of depth.
        """
        check_depth(path, self.config)
        moments = {name: variable for name, variable in self.optimizer.state().items() if name != ITERATIONS}
        found = checkpoint.restore(path, {**self._variables, checkpoint.GLOBAL_STEP: self.global_step}, moments)
        step = int(self.global_step.numpy())
        # Files of TensorFlow 1 that hold the moments do not count: there every step was one of Adam's.
        self.optimizer.iterations.assign(int(checkpoint.read_scalar(path, ITERATIONS, step)) if found else 0)
        self._learning_rate.restore(path, step)
        for name, variable in (self._loss_scale.state() if self._loss_scale else {}).items():
            variable.assign(int(checkpoint.read_scalar(path, name, int(variable.numpy()))))
        return found

    def restore_weights(self, path: str) -> None:
        """Reads the weights alone; raises UserError as `restore` does."""
        check_depth(path, self.config)
        checkpoint.restore(path, self._variables)

    def state(self) -> dict[str, tf.Variable]:
        """All that a checkpoint holds, by name."""
        return {
            **self._variables,
            checkpoint.GLOBAL_STEP: self.global_step,
            checkpoint.MIN_DISP: self._min_disp,
            checkpoint.PARAMETRIZATION: self._parametrization,
            checkpoint.LR_DECAY_STEP: self._learning_rate.drop_step,
            **self.optimizer.state(),
            **(self._loss_scale.state() if self._loss_scale else {}),
        }

    def compute(self, batch: Batch, training: bool = False) -> Outputs:
        """The whole computation of a batch, to be called from within a tf.function."""
        scales = self.config.num_scales
        images = batch._replace(target=preprocess(batch.target), sources=preprocess(batch.sources))
        images = images._replace(intrinsics=tf.cast(batch.intrinsics, tf.float32))
        seen = blank_objects(images) if self.object_net else images
        motion = self.pose_exp_net(seen.target, seen.sources, training=training)
        if self.config.learn_intrinsics:
            images = images._replace(intrinsics=mirror_back(images.intrinsics @ motion.intrinsics[0]))
        if self.config.object_masks:
            motion = motion.confined_to(images.extras["objects"])
        maps, source_maps = predict_maps(self.disp_net, images, self.config, training)
        if self.object_net:
            motion = find_object_motion(self.object_net, images, maps.disparities[0], motion, self.config.max_objects)
        anchors = self.anchor_net(images.target)[:scales] if self.anchor_net else ()
        views = make_views(
            images, maps.disparities, motion, anchors, self.config.sampler, source_maps.disparities, maps.edges,
            source_maps.edges,
        )  # fmt: skip
        reverse = [turn_around(view, motion) for view in views] if self.config.both_directions else []
        return Outputs(motion, views, compute_means(self._terms, views + reverse))

    def compute_gradients(self, batch: Batch, watch: tf.Tensor | bool = False) -> Gradients:
        """The gradients of the total loss; changes nothing.

        Of several replicas each calls it with its part of the batch, and gets the gradients of the whole.

        Args:
            watch: whether to take the readings.
        """
        return self._replica_gradients(batch, tf.convert_to_tensor(watch))

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Takes one step of Adam along `gradients`, in the order of `trainable_variables`, and counts it.

        Of several replicas each calls it.
        """
        learning_rate = self._learning_rate.at(self.global_step + 1)
        if self._loss_scale:
            self.optimizer.apply_if(self._loss_scale.update(gradients), gradients, learning_rate)
        else:
            self.optimizer.apply(gradients, learning_rate)
        self.global_step.assign_add(1)

    def _look(self, batch: Batch, watch: tf.Tensor) -> tuple[dict[str, list[Mean]], dict[str, tf.Tensor]]:
        """The sums and normalisers of the losses, and the readings that need no gradients, 0 unless asked for."""
        outputs = self.compute(batch, training=True)
        seen = tf.cond(
            watch,
            lambda: readings.measure(batch, outputs.views[0], outputs.motion.poses),
            lambda: dict.fromkeys(readings.OF_VIEW, tf.zeros([])),
        )
        return outputs.means, tf.nest.map_structure(tf.stop_gradient, seen)

    def _compute_gradients(self, batch: Batch, watch: tf.Tensor) -> Gradients:
        variables = self.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            # In one exchange between the replicas, the readings too.
            means, seen = distribution.add_over_replicas(self._observe(batch, watch))
            total = add_up(means)["total"]
            scaled = self._loss_scale.scale(total) if self._loss_scale else total
        gradients = tape.gradient(scaled, variables, unconnected_gradients="zero")
        if self._loss_scale:
            gradients = self._loss_scale.unscale(gradients)
        # Each replica differentiates the loss of the whole batch, which depends on the parts of all.
        gradients = distribution.mean_over_replicas(gradients)
        norm = tf.cond(watch, lambda: tf.linalg.global_norm(gradients), lambda: tf.zeros([]))
        seen = {name: value / self._strategy.num_replicas_in_sync for name, value in seen.items()}
        return Gradients(gradients, means, {**seen, readings.GRADIENT_NORM: norm})

    def _step(self, batch: Batch, watch: bool) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        return self._compiled_train_step(distribution.split(self._strategy, batch), tf.constant(watch))

    def _train_step(self, batch: Batch, watch: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        found = self._strategy.run(self._take_step, (batch, watch))
        return tf.nest.map_structure(lambda values: self._strategy.experimental_local_results(values)[0], found)

    def _take_step(self, batch: Batch, watch: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        gradients, means, seen = self._replica_gradients(batch, watch)
        self.apply(gradients)
        return add_up(means), seen

    def _forward(self, batch: Batch) -> dict[str, Any]:
        outputs = self.compute(batch)
        views = outputs.views
        return {
            "depth": tuple(1 / view.disparity for view in views),
            "poses": outputs.motion.poses,
            "masks": tuple(explainability(view.mask_logits) for view in views if view.mask_logits is not None),
            "projected": tuple(view.projected for view in views),
            "intrinsics": views[0].intrinsics,
            "losses": add_up(outputs.means),
        }
