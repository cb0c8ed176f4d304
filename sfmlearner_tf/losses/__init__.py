"""View synthesis as supervision: the terms of the objective, one idea a module."""

from sfmlearner_tf.losses.objective import *  # noqa: F403
