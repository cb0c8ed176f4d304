"""The networks by kind and name. TensorFlow is loaded only when one is built, so that --help need not wait for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sfmlearner_tf.config import TrainConfig
    from sfmlearner_tf.networks.layers import Network

Kind = Literal["depth", "pose"]

# Kind and name to module and class. The first of each kind is the release's, and what a checkpoint holds whose folder
# has no config.json.
_NETWORKS: dict[str, dict[str, str]] = {
    "depth": {"dispnet": "disp_net.DispNet"},
    "pose": {"posenet": "pose_exp_net.PoseExpNet"},
}


def network_names(kind: Kind) -> tuple[str, ...]:
    """The names of the networks of a kind; the release's comes first."""
    return tuple(_NETWORKS[kind])


def get_network(kind: Kind, name: str) -> type[Network]:
    """The class of a network.

    Raises:
        ValueError: no network of this kind has that name.
    """
    if name not in _NETWORKS[kind]:
        raise ValueError(f"{kind} network must be one of {', '.join(_NETWORKS[kind])}, got {name!r}")
    module, _, cls = _NETWORKS[kind][name].partition(".")
    return getattr(importlib.import_module(f"sfmlearner_tf.networks.{module}"), cls)


def build_network(kind: Kind, config: TrainConfig) -> Network:
    """The network that a configuration names, with its initial weights."""
    name = config.depth_network if kind == "depth" else config.pose_network
    network = get_network(kind, name).from_train_config(config)
    network.build()
    return network
