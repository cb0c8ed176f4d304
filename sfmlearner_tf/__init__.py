"""SfMLearner in TensorFlow 2: depth and camera motion from monocular video (Zhou et al., CVPR 2017)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfmlearner_tf.batch import Batch
    from sfmlearner_tf.config import TrainConfig
    from sfmlearner_tf.learner import SfMLearner
    from sfmlearner_tf.networks.disp_net import DispNet
    from sfmlearner_tf.networks.pose_exp_net import PoseExpNet
    from sfmlearner_tf.sampler import bilinear_sampler, projective_inverse_warp

__version__ = "0.1.0"

# Imported on first use (PEP 562), so that the data commands and their worker processes never load TensorFlow.
_MODULES = {
    "Batch": "batch",
    "TrainConfig": "config",
    "SfMLearner": "learner",
    "DispNet": "networks.disp_net",
    "PoseExpNet": "networks.pose_exp_net",
    "bilinear_sampler": "sampler",
    "projective_inverse_warp": "sampler",
}
__all__ = ["Batch", "DispNet", "PoseExpNet", "SfMLearner", "TrainConfig", "bilinear_sampler", "projective_inverse_warp"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
