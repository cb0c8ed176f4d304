"""Adam as TensorFlow 1's (Kingma and Ba 2015, with the paper's "epsilon hat"), one fused kernel per variable.

Keras's own Adam computes the same from a dozen passes over the 33 million weights, which cost 8 % of a step on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from sfmlearner_tf.distribution import make_counter

# What a checkpoint calls the count of steps taken; TensorFlow 1 keeps powers of the betas instead.
ITERATIONS = "train_op/adam_iterations"


class Adam(tf.Module):
    """The optimiser and its state.

    Args:
        variables: what it trains, by name.
        beta1, beta2, epsilon: as in the paper; epsilon is added to the root of the uncorrected moment.
    """

    def __init__(
        self, variables: Mapping[str, tf.Variable], beta1: float, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(name="adam")
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.variables_by_name = dict(variables)
        self.moments = {
            name: (_zeros_like(variable), _zeros_like(variable)) for name, variable in self.variables_by_name.items()
        }
        self.iterations = make_counter("iterations")

    def apply(self, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor | float) -> None:
        """Takes one step along `gradients`, in the order of the variables; each replica calls it."""
        self.iterations.assign_add(1)
        self._change_variables(gradients, learning_rate, tf.cast(self.iterations, tf.float32))

    def apply_if(self, takes_step: tf.Tensor, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor | float) -> None:
        """`apply` where `takes_step`, a bool, is true; otherwise nothing changes."""
        self.iterations.assign_add(tf.cast(takes_step, tf.int64))
        step = tf.cast(self.iterations, tf.float32)
        tf.cond(takes_step, lambda: self._change_variables(gradients, learning_rate, step), lambda: None)

    def _change_variables(
        self, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor | float, step: tf.Tensor
    ) -> None:
        beta1_power, beta2_power = tf.pow(self.beta1, step), tf.pow(self.beta2, step)
        for gradient, (name, variable) in zip(gradients, self.variables_by_name.items()):
            first, second = self.moments[name]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=beta1_power,
                beta2_power=beta2_power,
                lr=learning_rate,
                beta1=self.beta1,
                beta2=self.beta2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    def state(self) -> dict[str, tf.Variable]:
        """What exact resumption needs, under TensorFlow 1's slot names, such as "depth_net/cnv1/weights/Adam_1"."""
        slots = {
            f"{name}/{slot}": variable
            for name, moments in self.moments.items()
            for slot, variable in zip(("Adam", "Adam_1"), moments)
        }
        return {**slots, ITERATIONS: self.iterations}


def _zeros_like(variable: tf.Variable) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)
