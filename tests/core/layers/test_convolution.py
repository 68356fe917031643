"""Convolutions: every formulation gives the same values and the same gradients."""

import numpy as np
import pytest

from core.layers import convolution
from utils.compat import has_native_atrous_gradient, tf

# Kernel size, channels, filters, stride, rate, padding: each way that gradients can take, with
# rates below and beyond the features of 9x13.
CASES = [
    (1, 3, 5, 1, 1, "SAME"),
    (1, 5, 3, 1, 1, "VALID"),
    (1, 3, 5, 2, 1, "SAME"),
    (3, 3, 5, 1, 1, "SAME"),
    (3, 3, 5, 2, 1, "VALID"),
    (3, 256, 257, 1, 1, "SAME"),
    (3, 5, 3, 1, 2, "SAME"),
    (3, 3, 5, 1, 5, "SAME"),
    (3, 3, 5, 1, 11, "SAME"),
    (3, 3, 5, 1, 14, "SAME"),
    (3, 3, 5, 1, 3, "VALID"),
    (4, 3, 5, 1, 2, "SAME"),
    (5, 3, 5, 1, 3, "SAME"),
]


def _noise(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def _dilated(kernel, rate):
    """Returns the kernel with rate - 1 zeros between its elements, and where its elements are."""
    height, width = kernel.shape[:2]
    shape = ((height - 1) * rate + 1, (width - 1) * rate + 1, *kernel.shape[2:])
    dilated = np.zeros(shape, kernel.dtype)
    dilated[::rate, ::rate] = kernel
    return dilated


def _values(convolve, inputs, weights):
    """Returns outputs, and the gradients of a function of them by inputs and weights."""
    outputs = convolve(inputs, weights)
    target = tf.constant(_noise(*outputs.shape.as_list(), seed=2))
    gradients = tf.gradients(tf.reduce_sum(outputs * target), [inputs, weights])
    with tf.Session() as session:
        return session.run([outputs, *gradients])


@pytest.mark.parametrize("formulation", convolution.FORMULATIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_those_of_a_dilated_kernel(case, formulation):
    size, channels, filters, stride, rate, padding = case
    if formulation == convolution.NATIVE and rate > 1 and not has_native_atrous_gradient():
        pytest.skip("this TensorFlow has no such gradient")
    images, kernel = _noise(2, 9, 13, channels), _noise(size, size, channels, filters, seed=1)
    actual = _values(
        lambda inputs, weights: convolution.convolve(
            inputs, weights, stride, rate, padding=padding, formulation=formulation
        ),
        tf.constant(images),
        tf.constant(kernel),
    )
    outputs, by_inputs, by_weights = _values(
        lambda inputs, weights: tf.nn.conv2d(inputs, weights, [1, stride, stride, 1], padding),
        tf.constant(images),
        tf.constant(_dilated(kernel, rate)),
    )
    expected = [outputs, by_inputs, by_weights[::rate, ::rate]]
    for ours, theirs in zip(actual, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4 * max(1, channels / 10))


def _doubled(small, beside):
    enlarged = tf.image.resize_nearest_neighbor(small, [10, 14])
    return enlarged if beside is None else tf.concat([enlarged, beside], 3)


@pytest.mark.parametrize("others", [0, 4])
def test_repeated_pixels_have_the_same_values_and_gradients(others, monkeypatch):
    monkeypatch.setattr(convolution, "uses_onednn", lambda: True)
    small, kernel = tf.constant(_noise(2, 5, 7, 3)), _noise(3, 3, 3 + others, 6, seed=1)
    beside = tf.constant(_noise(2, 10, 14, others, seed=3)) if others else None
    weights, kinds, found = tf.constant(kernel), [], []
    for formulation in (convolution.PRODUCTS, convolution.NATIVE):
        inputs = _doubled(small, beside)
        outputs = convolution.convolve(inputs, weights, formulation=formulation)
        kinds.append(outputs.op.type)
        target = tf.constant(_noise(2, 10, 14, 6, seed=2))
        leaves = [small, weights, *([] if beside is None else [beside])]
        found.append([outputs, *tf.gradients(tf.reduce_sum(outputs * target), leaves)])
    assert kinds == ["AddV2" if others else "Conv2DBackpropInput", "Conv2D"]
    with tf.Session() as session:
        for ours, theirs in zip(*session.run(found)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_only_repeated_pixels_of_twice_the_size_are_taken_apart(monkeypatch):
    monkeypatch.setattr(convolution, "uses_onednn", lambda: True)
    small, beside = tf.zeros([2, 5, 7, 3]), tf.zeros([2, 10, 14, 4])
    weights = tf.zeros([3, 3, 7, 6])
    taken = _doubled(small, beside)
    assert convolution.convolve(taken, weights).op.type != "Conv2D"
    others = {
        "4x4": (taken, tf.zeros([4, 4, 7, 6]), {}),
        "stride": (taken, weights, {"stride": 2}),
        "rate": (taken, weights, {"rate": 2}),
        "valid": (taken, weights, {"padding": "VALID"}),
        "order": (tf.concat([taken[..., 3:], taken[..., :3]], 3), weights, {}),
        "corners": (
            tf.image.resize_nearest_neighbor(tf.zeros([2, 5, 7, 7]), [10, 14], align_corners=True),
            weights,
            {},
        ),
        "size": (tf.image.resize_nearest_neighbor(tf.zeros([2, 5, 7, 7]), [9, 14]), weights, {}),
        "batch": (
            tf.concat([tf.image.resize_nearest_neighbor(tf.zeros([1, 5, 7, 7]), [10, 14])] * 2, 0),
            weights,
            {},
        ),
    }
    monkeypatch.setattr(convolution, "has_native_atrous_gradient", lambda: True)
    for name, (inputs, kernel, settings) in others.items():
        assert convolution.convolve(inputs, kernel, **settings).op.type == "Conv2D", name
    monkeypatch.setattr(convolution, "uses_onednn", lambda: False)
    assert convolution.convolve(taken, weights).op.type == "Conv2D"


@pytest.mark.parametrize("rate", [1, 3])
def test_images_of_any_size_have_the_same_values_and_gradients(rate):
    images, kernel = _noise(1, 9, 13, 3), _noise(3, 3, 3, 4, seed=1)

    def sums(inputs, weights):
        outputs = convolution.convolve(inputs, weights, rate=rate)
        loss = tf.nn.l2_loss(outputs)
        return [outputs, *tf.gradients(loss, [inputs, weights])]

    weights = tf.constant(kernel)
    known = sums(tf.constant(images), weights)
    unknown = sums(tf.placeholder_with_default(images, [None, None, None, 3]), weights)
    with tf.Session() as session:
        for ours, theirs in zip(*session.run([known, unknown])):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_weights_that_meet_only_padding_have_gradient_zero():
    inputs, weights = tf.constant(_noise(1, 5, 5, 2)), tf.constant(_noise(3, 3, 2, 2))
    outputs = convolution.convolve(inputs, weights, rate=6)
    (gradient,) = tf.gradients(tf.nn.l2_loss(outputs), [weights])
    with tf.Session() as session:
        value = session.run(gradient)
    assert value[1, 1].any()
    value[1, 1] = 0.0
    assert not value.any()


def test_a_stride_with_a_rate_is_refused():
    with pytest.raises(ValueError, match="stride 2 with atrous rate 3"):
        convolution.convolve(tf.zeros([1, 9, 9, 3]), tf.zeros([3, 3, 3, 2]), 2, 3)


def test_an_unknown_formulation_is_refused():
    with pytest.raises(ValueError, match="formulation is fft, but must be one of"):
        convolution.convolve(tf.zeros([1, 9, 9, 3]), tf.zeros([3, 3, 3, 2]), formulation="fft")


@pytest.mark.parametrize("size", [1, 3])
def test_where_cores_idle_the_gradient_by_inputs_waits_for_that_by_weights(monkeypatch, size):
    monkeypatch.setattr(convolution, "matmul_prefers_wide_results", lambda: False)
    monkeypatch.setattr(convolution, "has_native_atrous_gradient", lambda: True)
    inputs, weights = tf.zeros([1, 9, 13, 3]), tf.zeros([size, size, 3, 5])
    outputs = convolution.convolve(inputs, weights)
    tf.gradients(outputs, [inputs, weights])
    waiting = [
        operation
        for operation in tf.get_default_graph().get_operations()
        if operation.type == "Identity" and operation.control_inputs
    ]
    assert waiting
