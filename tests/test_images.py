"""Images as tensors: resizing, and sources on channels or on the batch."""

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import images as im

SIZES = [(8, 12), (4, 6), (5, 7), (6, 11), (3, 12)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resize_area_equals_tensorflow_s(height, width):
    images = tf.random.stateless_uniform([2, 8, 12, 3], [0, 0])
    expected = tf.image.resize(images, [height, width], tf.image.ResizeMethod.AREA)
    np.testing.assert_allclose(im.resize_area(images, height, width), expected, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resize_nearest_equals_tensorflow_s(height, width):
    labels = tf.random.stateless_uniform([2, 8, 12, 1], [0, 0], 0, 256, tf.int32)
    expected = tf.image.resize(labels, [height, width], tf.image.ResizeMethod.NEAREST_NEIGHBOR)
    np.testing.assert_array_equal(im.resize_nearest(labels, height, width), expected)


def test_what_is_no_image_is_not_resized():
    np.testing.assert_array_equal(im.resize(tf.constant([[3.0]]), 4, 5, "none"), [[3.0]])


def test_stacked_sources_come_back():
    images = tf.random.stateless_uniform([2, 3, 4, 9], [0, 0])
    stacked = im.stack_sources(images, 3)
    np.testing.assert_array_equal(stacked[2], images[0, ..., 3:6])  # source 1 of example 0
    np.testing.assert_array_equal(im.unstack_sources(stacked, 3), images)
