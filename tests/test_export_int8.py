"""TFLite in 8 bits: small, close to the networks, and made for the pictures that calibrate it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import export, export_check, export_tflite
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet
from small_network import SteadyNet

HEIGHT, WIDTH = 32, 64


@pytest.fixture(scope="module")
def networks():
    """Those of which int8 is made in no time, with a depth that depends on the picture."""
    depth = SteadyNet()
    for weight in depth.release_variables().values():
        weight.assign(2 * weight)
    pose = PoseExpNet(num_sources=2)
    pose.build()
    return export.Exportable(HEIGHT, WIDTH, {"depth": depth, "pose": pose})


def make_inputs(function, seed):
    target, *sources = (
        np.asarray(export_check.make_texture(HEIGHT, WIDTH, 3 * seed + frame))[np.newaxis] for frame in range(3)
    )
    return {"images": target} if function == "depth" else {"target": target, "sources": np.concatenate(sources, -1)}


def write(networks, folder, change=lambda image: image):
    """Calibrates on pictures other than that of seed 0, as `change` leaves them."""
    inputs = {
        name: [{key: change(x) for key, x in make_inputs(name, seed).items()} for seed in range(1, 9)]
        for name in networks.networks
    }
    return export_tflite.write_tflite(networks, str(folder), "int8", inputs)


def test_int8_is_small_and_close_to_the_networks(networks, tmp_path):
    for function in write(networks, tmp_path):
        name = function.function
        check = export_check.check(function, networks, [make_inputs(name, 0)], str(tmp_path))
        assert function.file == f"{name}_int8.tflite"
        assert 0 < check.difference < 0.5 * function.bound
        weights = [weight.shape.num_elements() for weight in networks.networks[name].release_variables().values()]
        assert check.size == (tmp_path / function.file).stat().st_size < 1.1 * sum(weights) + 20_000
        details = tf.lite.Interpreter(str(tmp_path / function.file)).get_tensor_details()
        activations = [each for each in details if each["dtype"] == np.int8 and each["shape"][0] == 1]
        assert any(list(each["shape"][1:3]) == [HEIGHT, WIDTH] for each in activations)
        # The head is in float, or there would be 256 values at most.
        found = function.load()(**make_inputs(name, 0))
        assert name == "pose" or len(np.unique(found["disparity"])) > 1000


def test_int8_is_made_for_the_pictures_that_calibrate(networks, tmp_path):
    alone = networks._replace(networks={"depth": networks.networks["depth"]})
    inputs = [make_inputs("depth", 0)]
    (own,) = write(alone, tmp_path)
    difference = export_check.check(own, alone, inputs, str(tmp_path)).difference
    (of_the_dark,) = write(alone, tmp_path, lambda image: image // 16)
    assert export_check.check(of_the_dark, alone, inputs, str(tmp_path)).difference > 5 * difference
