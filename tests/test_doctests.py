"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "kitti_eval.depth_metrics",
        "kitti_eval.trajectory",
        "sfmlearner_tf.sampler",
        "sfmlearner_tf.geometry",
        "sfmlearner_tf.config",
    ],
)
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name), report=True)
    assert results.attempted > 0
    assert results.failed == 0
