"""Builds networks: new ones for training, and those of checkpoints."""

from __future__ import annotations

import importlib
from typing import Any

from sfmlearner_tf import run_config
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.networks.layers import Network
from sfmlearner_tf.networks.registry import NETWORKS, Kind, network_names


def get_network(kind: Kind, name: str) -> type[Network]:
    """The class of a network.

    Raises:
        ValueError: no network of this kind has that name.
    """
    if name not in NETWORKS[kind]:
        raise ValueError(f"{kind} network must be one of {', '.join(NETWORKS[kind])}, got {name!r}")
    module, _, cls = NETWORKS[kind][name].partition(".")
    return getattr(importlib.import_module(f"sfmlearner_tf.networks.{module}"), cls)


def build_network(kind: Kind, config: TrainConfig) -> Network:
    """The network that a configuration names, with its initial weights."""
    network = get_network(kind, _name_in(config, kind)).from_train_config(config)
    network.build()
    return network


def load_network(path: str, kind: Kind, **options: Any) -> Network:
    """The depth or pose network of a checkpoint, with its weights.

    Which network it is says the config.json beside the checkpoint; without one, as with the authors' files, it is the
    release's.

    Args:
        path: such as folder/model-190532.
        options: arguments of the network's constructor.

    Raises:
        UserError: no such checkpoint, a damaged one, or one without this network.
    """
    config = run_config.read_beside(path)
    name = _name_in(config, kind) if config else network_names(kind)[0]
    return get_network(kind, name).from_checkpoint(path, **options)


def read_options(path: str) -> TrainConfig:
    """The options with which the networks of a checkpoint are used.

    Those of its run; where no config.json says so, as with the authors' files, the release's, of as many frames as the
    pose network sees.

    Raises:
        UserError: no such checkpoint, or a config.json that cannot be read.
    """
    config = run_config.read_for_use(path)
    if config:
        return config
    found = get_network("pose", network_names("pose")[0]).options_of_checkpoint(path)
    seq_length = found.get("num_sources", 2) + 1
    if seq_length < 3:
        raise UserError(f"{path}: expected config.json beside this pose network of pairs of frames, found none")
    return TrainConfig(seq_length=seq_length)


def load_pose_network(path: str, seq_length: int | None = None) -> Network:
    """The pose network of a checkpoint, without masks.

    Args:
        path: such as folder/model-190532.
        seq_length: frames that it is expected to see; None takes what is there.

    Raises:
        UserError: as `load_network`, or another seq_length.
    """
    network = load_network(path, "pose")
    found = network.num_sources + 1
    if seq_length not in (None, found):
        raise UserError(f"{path}: its pose network sees {found} frames, expected seq_length={found}, got {seq_length}")
    return network


def _name_in(config: TrainConfig, kind: Kind) -> str:
    return config.depth_network if kind == "depth" else config.pose_network
