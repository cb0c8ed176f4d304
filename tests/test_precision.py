"""Networks in half precision, with all else in float32."""

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import Batch, SfMLearner, TrainConfig
from sfmlearner_tf.adam import Adam
from sfmlearner_tf.loss_scale import EXPONENT, STEADY_STEPS, LossScale
from sfmlearner_tf.losses.term import add_up

SIZE = {"batch_size": 2, "img_height": 32, "img_width": 128, "num_scales": 1}


@pytest.fixture(scope="module")
def batch():
    draw = np.random.RandomState(0)
    target, sources = (
        tf.cast(tf.image.resize(draw.randint(0, 256, (2, 4, 16, channels)).astype(np.float32), (32, 128)), tf.uint8)
        for channels in (3, 6)
    )
    return Batch(target, sources, tf.constant(np.float32([[[80, 0, 64], [0, 40, 16], [0, 0, 1]]] * 2)))


def cosine(first, second):
    first, second = (tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0) for parts in (first, second))
    return float(tf.reduce_sum(first * second) / (tf.norm(first) * tf.norm(second)))


@pytest.fixture(scope="module")
def full_precision(batch):
    return SfMLearner(TrainConfig(**SIZE)).compute_gradients(batch)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_networks_alone_compute_in_half_precision(batch, full_precision, precision):
    half = SfMLearner(TrainConfig(**SIZE, precision=precision))
    for net in (half.disp_net, half.pose_exp_net):
        assert {layer.compute_dtype for layer in net.named_layers.values()} == {precision, "float32"}
    assert {variable.dtype for variable in half.trainable_variables} == {tf.float32}
    found = half.compute_gradients(batch, watch=True)
    assert {gradient.dtype for gradient in found.gradients} == {tf.float32}
    assert cosine(full_precision.gradients, found.gradients) > 0.98
    assert any(np.any(a != b) for a, b in zip(full_precision.gradients, found.gradients))
    total, expected = (float(add_up(gradients.means)["total"]) for gradients in (found, full_precision))
    assert total == pytest.approx(expected, rel=0.01)
    assert 0 < float(found.readings["gradient_norm"]) < np.inf
    assert half.predict_depth(batch.target).dtype == tf.float32


def test_a_step_whose_gradients_overflow_is_left_out():
    variable = tf.Variable([1.0, 2.0])
    adam, scale = Adam({"a": variable}, beta1=0.9), LossScale()
    step = tf.function(lambda gradient: adam.apply_if(scale.update([gradient]), [gradient], 0.1))
    step(tf.constant([np.inf, 0.0]))
    step(tf.constant([np.nan, 0.0]))
    np.testing.assert_array_equal(variable, [1, 2])
    assert int(adam.iterations) == 0
    assert int(scale.state()[EXPONENT]) == 6
    step(tf.constant([1.0, -1.0]))
    np.testing.assert_allclose(variable, [0.9, 2.1], rtol=1e-6)
    assert int(adam.iterations) == 1
    assert int(scale.state()[STEADY_STEPS]) == 1


def test_the_scale_is_a_factor_that_cancels_and_grows_after_steady_steps():
    scale = LossScale()
    loss, gradient = tf.constant(3.0), tf.constant([2.0])
    assert float(scale.scale(loss)) == 3 * 2**8
    np.testing.assert_array_equal(scale.unscale([scale.scale(gradient)])[0], gradient)
    scale.state()[STEADY_STEPS].assign(1998)
    exponents = []
    for _ in range(3):
        scale.update([gradient])
        exponents.append(int(scale.state()[EXPONENT]))
    assert exponents == [8, 9, 9]
    for _ in range(40):
        scale.update([tf.constant([np.inf])])
    assert int(scale.state()[EXPONENT]) == 0


@pytest.mark.usefixtures("small_depth_network")
def test_a_run_in_float16_goes_on_with_its_scale(batch, tmp_path):
    config = TrainConfig(**SIZE, precision="float16")
    learner = SfMLearner(config)
    learner.train_step(batch)
    found = {name: learner.state()[name] for name in (EXPONENT, STEADY_STEPS)}
    found[EXPONENT].assign(7)
    path = learner.save(str(tmp_path))
    resumed = SfMLearner(config)
    assert resumed.restore(path)
    for name, variable in found.items():
        assert int(resumed.state()[name]) == int(variable), name
    # A checkpoint in full precision has none, and is taken as well.
    plain = SfMLearner(TrainConfig(**SIZE))
    assert EXPONENT not in plain.state()
    resumed.restore(plain.save(str(tmp_path / "plain")))
