"""Training within a tf.distribute strategy, in a process of its own that splits the CPU into two devices."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from sfmlearner_tf import Batch, SfMLearner, TrainConfig

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
images = [tf.zeros([1, 32, 64, channels], tf.uint8) for channels in (3, 6)]
batch = Batch(*images, tf.constant([[[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]]))
with strategy.scope():
    learner = SfMLearner(TrainConfig(batch_size=1, img_height=32, img_width=64))
for step in (learner.train_step, learner.watched_step, lambda batch: learner.apply(learner.trainable_variables)):
    try:
        strategy.run(step, args=(batch,))
    except NotImplementedError as error:
        print("refused:", error)
assert int(learner.global_step) == 0
"""


def test_several_replicas_are_refused():
    """Each would apply its own gradients, so the replicas would drift apart without an error."""
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    expected = "refused: training runs on one replica, got a tf.distribute strategy of 2\n"
    assert result.stdout == 3 * expected, result.stderr
