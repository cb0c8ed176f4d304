"""The networks by kind and name; plain text, so that --help need not wait for TensorFlow."""

from __future__ import annotations

from typing import Literal

Kind = Literal["depth", "pose"]

# Kind and name to module of this folder and class. The first of each kind is the release's, and what a checkpoint holds
# whose folder has no config.json.
NETWORKS: dict[Kind, dict[str, str]] = {
    "depth": {
        "dispnet": "disp_net.DispNet",
        "resnet18": "resnet_depth.ResNet18Depth",
        "resnet50": "resnet_depth.ResNet50Depth",
    },
    "pose": {
        "posenet": "pose_exp_net.PoseExpNet",
        "pairnet": "pair_net.PairNet",
        "resnet18": "resnet_pose.ResNet18Pose",
        "resnet50": "resnet_pose.ResNet50Pose",
    },
}


def network_names(kind: Kind) -> tuple[str, ...]:
    """The names of the networks of a kind; the release's comes first."""
    return tuple(NETWORKS[kind])
