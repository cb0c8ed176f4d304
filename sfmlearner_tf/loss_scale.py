"""Keeps gradients in float16 from vanishing: the loss is scaled up, the gradients down (Micikevicius et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.distribution import make_counter

# What a checkpoint calls the scale's power of two, and the steps since it changed.
EXPONENT = "train_op/loss_scale_exponent"
STEADY_STEPS = "train_op/loss_scale_steady_steps"
_FIRST, _LEAST, _MOST = 8, 0, 24
# After so many steps without overflow it is doubled.
_PATIENCE = 2000


class LossScale(tf.Module):
    """A power of two that halves where gradients overflow, and doubles where they have not for long."""

    def __init__(self) -> None:
        super().__init__(name="loss_scale")
        self._exponent = make_counter("exponent", _FIRST)
        self._steady_steps = make_counter("steady_steps")

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss so large that its gradients do not vanish in half precision."""
        return loss * self._value()

    def unscale(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients of the loss itself, of those of the scaled one."""
        return [gradient / self._value() for gradient in gradients]

    def update(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """Adapts the scale to gradients; returns whether all of them are finite, so that a step can be taken."""
        finite = tf.reduce_all(tf.stack([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]))
        doubles = finite & (self._steady_steps >= _PATIENCE - 1)
        change = tf.where(finite, tf.where(doubles, 1, 0), -1)
        exponent = tf.clip_by_value(self._exponent + tf.cast(change, tf.int64), _LEAST, _MOST)
        steady_steps = tf.where(finite & ~doubles, self._steady_steps + 1, 0)
        self._exponent.assign(exponent)
        self._steady_steps.assign(steady_steps)
        return finite

    def state(self) -> dict[str, tf.Variable]:
        """What exact resumption needs."""
        return {EXPONENT: self._exponent, STEADY_STEPS: self._steady_steps}

    def _value(self) -> tf.Tensor:
        return 2.0 ** tf.cast(self._exponent, tf.float32)
