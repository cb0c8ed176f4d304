"""The training command with a small depth network in DispNet's place: it starts and saves in no time.

python tests/small_train.py --dataset_dir=formatted --checkpoint_dir=checkpoints/mine
"""

from __future__ import annotations

import pytest

import small_network
from sfmlearner_tf import train
from sfmlearner_tf.networks import disp_net, registry


def use_small_network(patch: pytest.MonkeyPatch) -> None:
    """Puts `SmallNet` in DispNet's place, until the patch is undone."""
    patch.setattr(disp_net, "SmallNet", small_network.SmallNet, raising=False)
    patch.setitem(registry.NETWORKS["depth"], "dispnet", "disp_net.SmallNet")


def main() -> None:
    use_small_network(pytest.MonkeyPatch())
    train.cli()


if __name__ == "__main__":
    main()
