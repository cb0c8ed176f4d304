"""What predictions do where memory does not suffice."""

from __future__ import annotations

from forked import run_forked
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet


def test_too_large_a_batch_is_told(tmp_path):
    ckpt_file = CheckpointFolder(str(tmp_path), PoseExpNet(2).release_variables()).save_step(7)
    code = """
import resource, sys
import numpy as np
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.prediction import load_pose_predictor

predictor = load_pose_predictor(sys.argv[1], 128, 416)

def predict(count):
    return predictor.predict(*(np.zeros([count, 128, 416, channels], np.uint8) for channels in (3, 6)))

predict(1)
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2 * 10**9, taken + 2 * 10**9))
try:
    predict(700)
except UserError as error:
    print(error)
"""
    done = run_forked("-c", code, ckpt_file)
    assert done.stdout == "out of memory: a smaller batch_size or image size needs less\n", done.stderr
