"""Several devices, in processes of their own: TensorFlow splits the CPU only at its start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sfmlearner_tf import distribution
from sfmlearner_tf.errors import UserError


@pytest.fixture(scope="module", params=["recommended", "free_motion"])
def two_devices(request):
    """With masks, or with several depths, moving objects and a learned camera, and with means over what is in view,
    whose normalisers depend on the whole batch."""
    command = [sys.executable, str(Path(__file__).with_name("distributed.py")), request.param, "false", "small"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    # What is before what jumps from step to step, so that rounding makes more of a difference there.
    looseness = 10 if request.param == "free_motion" else 1
    return {**json.loads(result.stdout.splitlines()[-1]), "looseness": looseness}


def test_two_devices_train_as_one_does(two_devices):
    found = two_devices
    assert found["replicas"] == 2
    assert found["between_replicas"] == 0
    assert found["counters"] == [[10, 10], [10, 10]]
    assert found["weights"] < 1e-3 * found["looseness"]
    assert len(found["losses"]) == 10
    for number, losses in enumerate(found["losses"]):
        for name, (one, two) in losses.items():
            # Rounding grows from step to step: pictures of chance are no task that training settles on.
            later = {"rel": 1e-3 * found["looseness"], "abs": 1e-5 * found["looseness"] * losses["total"][0]}
            close = {"rel": 2e-5} if number < 2 else later
            assert two == pytest.approx(one, **close), (number, name)


def test_gradients_are_those_of_the_whole_batch(two_devices):
    for name, distance in two_devices["gradients"].items():
        # Terms cancel in the biases of the heads.
        assert distance < (3e-4 if name.endswith("biases") else 2e-5), name


def test_readings_are_those_of_the_whole_batch(two_devices):
    assert 0 < two_devices["readings"]["in_view"][0] < 1
    for name, (one, two) in two_devices["readings"].items():
        assert two == pytest.approx(one, rel=1e-3), name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:2"]}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_a_task_that_is_none_of_the_cluster_is_named(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r"distribute=multi_worker: expected TF_CONFIG such as .*, found "):
        distribution.join("multi_worker", 4)
