"""SfMLearner in TensorFlow 2: depth and camera motion from monocular video (Zhou et al., CVPR 2017)."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Imported on first use (PEP 562), so that the data commands and their worker processes never load TensorFlow.
_PUBLIC = {
    "TrainConfig": "sfmlearner_tf.config",
    "SfMLearner": "sfmlearner_tf.learner",
    "DispNet": "sfmlearner_tf.networks.disp_net",
    "PoseExpNet": "sfmlearner_tf.networks.pose_exp_net",
    "bilinear_sampler": "sfmlearner_tf.sampler",
    "projective_inverse_warp": "sfmlearner_tf.sampler",
}
__all__ = ["DispNet", "PoseExpNet", "SfMLearner", "TrainConfig", "bilinear_sampler", "projective_inverse_warp"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
