"""Fixtures that every test file shares."""

import os
import signal
from pathlib import Path

import pytest

# Tests run beside each other, and threads of OpenBLAS that wait for work would take the time of the others.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# As the commands do (kitti_eval/command.py): what is computed in a test and by a command is the same, bit for bit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# A shell starts what it runs in the background deaf to Ctrl-C, and so would be all commands that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; the test is skipped where it is absent."""
    folder = Path(os.environ.get("SFMLEARNER_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the reference material is not there: {folder}")
    return folder


@pytest.fixture
def small_depth_network(monkeypatch):
    """`SmallNet` in DispNet's place, by one line of the registry's table: training starts and saves in no time."""
    from sfmlearner_tf.networks import disp_net, registry
    from small_network import SmallNet

    monkeypatch.setattr(disp_net, "SmallNet", SmallNet, raising=False)
    monkeypatch.setitem(registry.NETWORKS["depth"], "dispnet", "disp_net.SmallNet")
