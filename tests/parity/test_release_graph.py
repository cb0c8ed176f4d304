"""Checkpoints go both ways between us and a graph of 2017, and mean the same on either side."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from release_graph import ReleaseGraph
from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.images import preprocess

HEIGHT, WIDTH = 32, 96
INTRINSICS = np.float32([[[60, 0, 48], [0, 60, 16], [0, 0, 1]]])


@pytest.fixture(scope="module")
def graph():
    return ReleaseGraph(HEIGHT, WIDTH, num_sources=2)


@pytest.fixture(scope="module")
def learner():
    return SfMLearner(TrainConfig(batch_size=1, img_height=HEIGHT, img_width=WIDTH, explain_reg_weight=0.2))


@pytest.fixture(scope="module")
def images():
    """A target and its sources, uint8."""
    random = np.random.RandomState(0)
    return tuple(random.randint(0, 256, (1, HEIGHT, WIDTH, channels), np.uint8) for channels in (3, 6))


def assert_same_outputs(graph, learner, images):
    disparities, poses, masks = graph.run(
        (graph.disparities, graph.poses, graph.masks), *(preprocess(tf.constant(image)).numpy() for image in images)
    )
    ours = learner.forward(*map(tf.constant, images), INTRINSICS)
    assert len(disparities) == len(masks) == len(ours["depth"]) == len(ours["masks"]) == 4
    for theirs, depth in zip(disparities, ours["depth"]):
        np.testing.assert_allclose(1 / depth, theirs, rtol=1e-5)
    for theirs, mask in zip(masks, ours["masks"]):
        np.testing.assert_allclose(mask, theirs, rtol=1e-5)
    np.testing.assert_allclose(ours["poses"], poses, rtol=1e-5, atol=1e-9)


def test_what_we_save_loads_there(graph, learner, images, tmp_path):
    learner.global_step.assign(7)
    path = learner.save(str(tmp_path))
    graph.restore(path)
    theirs = graph.variables()
    for name, variable in learner.release_variables().items():
        np.testing.assert_array_equal(theirs[name], variable, err_msg=name)
    assert theirs["train_op/global_step"] == 7
    assert_same_outputs(graph, learner, images)


def test_what_is_saved_there_loads_here_and_learns_on(graph, learner, images, tmp_path):
    floats = [preprocess(tf.constant(image)) for image in images]
    values = [value.numpy() for value in floats]
    graph.session.run(graph.global_step.initializer)
    for _ in range(2):
        graph.run(graph.train, *values)
    path = str(tmp_path / "model-2")
    graph.save(path)
    assert learner.restore(path)
    assert int(learner.global_step) == int(learner.optimizer.iterations) == 2
    before = graph.variables()
    for name, variable in learner.state().items():
        if name in before:
            np.testing.assert_array_equal(variable, before[name], err_msg=name)
    assert_same_outputs(graph, learner, images)

    graph.run(graph.train, *values)
    after = graph.variables()
    with tf.GradientTape() as tape:
        poses, logits = learner.pose_exp_net(*floats)
        masks = [tf.nn.softmax(tf.reshape(scale, [*scale.shape[:3], 2, 2]))[..., 1] for scale in logits]
        outputs = (*learner.disp_net(floats[0]), poses * 100, *masks)
        loss = tf.add_n([tf.reduce_mean(tf.square(output - 0.3)) for output in outputs])
    learner.optimizer.apply(tape.gradient(loss, learner.trainable_variables), learner.config.learning_rate)
    for name, variable in learner.release_variables().items():
        theirs, ours = after[name] - before[name], variable.numpy() - before[name]
        assert np.linalg.norm(ours - theirs) <= 1e-3 * np.linalg.norm(theirs), name
        assert theirs.any(), name
