import numpy as np
import tensorflow as tf

from sfmlearner_tf.adam import Adam


def numpy_adam(weights, gradients, learning_rate, beta1, beta2=0.999, epsilon=1e-8):
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step, gradient in enumerate(gradients, start=1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        rate = learning_rate * np.sqrt(1 - beta2**step) / (1 - beta1**step)
        weights = weights - rate * first / (np.sqrt(second) + epsilon)
    return weights


def test_equals_numpy_and_tensorflow_1():
    random = np.random.RandomState(0)
    start = random.normal(size=(3, 4)).astype(np.float32)
    gradients = random.normal(size=(7, 3, 4)).astype(np.float32)
    ours, theirs = tf.Variable(start), tf.Variable(start)
    adam = Adam({"w": ours}, 0.8)
    reference = tf.compat.v1.train.AdamOptimizer(0.01, beta1=0.8)
    for gradient in gradients:
        adam.apply([tf.constant(gradient)], 0.01)
        reference.apply_gradients([(tf.constant(gradient), theirs)])
    np.testing.assert_allclose(ours, numpy_adam(start.astype(float), gradients.astype(float), 0.01, 0.8), rtol=1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert set(adam.state()) == {"w/Adam", "w/Adam_1", "train_op/adam_iterations"}
    assert int(adam.iterations) == 7
