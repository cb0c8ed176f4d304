"""The learning rate, which may drop once on the way."""

from __future__ import annotations

import tensorflow as tf

from sfmlearner_tf import checkpoint
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.distribution import make_counter

# 0 where it never drops.
_NEVER = 0


class LearningRate:
    """`config.learning_rate`, times `config.lr_decay_factor` from step `config.lr_decay_step` on, if there is one."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self.drop_step = make_counter("lr_decay_step", config.lr_decay_step or _NEVER)

    def at(self, step: tf.Tensor) -> tf.Tensor | float:
        """That of a step, counted from 1."""
        config = self._config
        if config.lr_decay_step is None:
            return config.learning_rate
        return tf.where(step >= self.drop_step, config.learning_rate * config.lr_decay_factor, config.learning_rate)

    def restore(self, path: str, step: int) -> None:
        """Keeps a rate that has dropped by `step`, where a checkpoint goes on, from rising because max_steps did."""
        before = int(checkpoint.read_scalar(path, checkpoint.LR_DECAY_STEP, _NEVER))
        has_dropped = before != _NEVER and step >= before
        if self._config.lr_decay_step is not None:
            self.drop_step.assign(before if has_dropped else self._config.lr_decay_step)
