"""Grouped convolutions: equal to one convolution for each group, with fewer operations."""

import numpy as np
import pytest

from core import layers
from core.layers import convolution, grouped
from tests.core.layers.test_convolution import _noise, _values
from utils.compat import has_native_atrous_gradient, tf

# Groups, channels, filters, stride, rate: all in one, merged, and each by itself.
CASES = [(2, 6, 4, 1, 1), (8, 32, 16, 2, 1), (8, 32, 16, 1, 2), (2, 32, 10, 1, 1), (6, 6, 12, 1, 1)]


def _one_by_one(inputs, weights, groups, stride):
    parts = [
        tf.nn.conv2d(part, kernel, [1, stride, stride, 1], "SAME")
        for part, kernel in zip(tf.split(inputs, groups, 3), tf.split(weights, groups, 3))
    ]
    return tf.concat(parts, 3)


def _dilated(kernel, rate):
    side = (kernel.shape[0] - 1) * rate + 1
    dilated = np.zeros((side, side, *kernel.shape[2:]), kernel.dtype)
    dilated[::rate, ::rate] = kernel
    return dilated


@pytest.mark.parametrize("formulation", convolution.FORMULATIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_those_of_one_convolution_for_each_group(case, formulation):
    groups, channels, filters, stride, rate = case
    if formulation == convolution.NATIVE and rate > 1 and not has_native_atrous_gradient():
        pytest.skip("this TensorFlow has no such gradient")
    images = _noise(2, 9, 13, channels)
    kernel = _noise(3, 3, channels // groups, filters, seed=1)
    actual = _values(
        lambda inputs, weights: grouped.convolve(
            inputs, weights, groups, stride, rate, formulation=formulation
        ),
        tf.constant(images),
        tf.constant(kernel),
    )
    outputs, by_inputs, by_weights = _values(
        lambda inputs, weights: _one_by_one(inputs, weights, groups, stride),
        tf.constant(images),
        tf.constant(_dilated(kernel, rate)),
    )
    expected = [outputs, by_inputs, by_weights[::rate, ::rate]]
    for ours, theirs in zip(actual, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_layer_strides_images_of_any_size_by_groups():
    images = _noise(2, 9, 12, 32)
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
        settings = {"groups": 8, "scope": "conv"}
        known = layers.conv2d_same(tf.constant(images), 64, 3, 2, **settings)
        any_size = tf.placeholder_with_default(images, [None, None, None, 32])
        unknown = layers.conv2d_same(any_size, 64, 3, 2, **settings)
        (weights, biases) = tf.model_variables()
    assert known.shape.as_list() == [2, 5, 6, 64]
    assert (weights.shape.as_list(), biases.shape.as_list()) == ([3, 3, 4, 64], [64])
    dense = _one_by_one(
        tf.pad(tf.constant(images), [[0, 0], [1, 1], [1, 1], [0, 0]]), weights, 8, 1
    )
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        known, unknown, dense = session.run([known, unknown, tf.nn.relu(dense)])
    np.testing.assert_allclose(known, dense[:, 1:-1:2, 1:-1:2], atol=1e-5)
    np.testing.assert_allclose(unknown, known, atol=1e-6)


def test_thirty_two_small_groups_are_eight_convolutions():
    grouped.convolve(tf.zeros([1, 4, 4, 128]), tf.zeros([3, 3, 4, 128]), 32)
    operations = tf.get_default_graph().get_operations()
    assert len([item for item in operations if item.type == "Conv2D"]) == 8


@pytest.mark.parametrize(("channels", "filters"), [(10, 8), (8, 10)])
def test_groups_that_do_not_divide_are_refused(channels, filters):
    with pytest.raises(ValueError, match=f"4 groups of {channels} channels and {filters} filters"):
        layers.conv2d(tf.zeros([1, 4, 4, channels]), filters, 3, groups=4)
