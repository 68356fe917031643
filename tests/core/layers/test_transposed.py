"""Transposed convolutions: equal to arithmetic and to the gradient of a convolution."""

import numpy as np
import pytest

from core import layers
from utils.compat import tf


def _enlarged(images, kernel, stride):
    """Adds the kernel, times each pixel, where the pixel lies in the output."""
    count, height, width, _ = images.shape
    size = kernel.shape[0]
    before = max(size - stride, 0) // 2
    canvas = np.zeros((count, height * stride + size, width * stride + size, kernel.shape[2]))
    for row in range(height):
        for column in range(width):
            patch = np.einsum("nc,yxfc->nyxf", images[:, row, column], kernel)
            rows = slice(row * stride, row * stride + size)
            columns = slice(column * stride, column * stride + size)
            canvas[:, rows, columns] += patch
    return canvas[:, before : before + height * stride, before : before + width * stride]


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (3, 2), (2, 2), (5, 3)])
def test_pixels_become_copies_of_the_kernel(size, stride):
    images = np.random.RandomState(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    settings = {"activation_fn": None, "scope": "up"}
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
        known = layers.conv2d_transpose(tf.constant(images), 6, size, stride, **settings)
        any_size = tf.placeholder_with_default(images, [None, None, None, 5])
        unknown = layers.conv2d_transpose(any_size, 6, size, stride, **settings)
    weights, biases = tf.model_variables()
    assert (weights.op.name, biases.op.name) == ("net/up/weights", "net/up/biases")
    assert weights.shape.as_list() == [size, size, 6, 5]
    assert known.shape.as_list() == [2, 3 * stride, 4 * stride, 6]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        known, unknown, kernel = session.run([known, unknown, weights])
    np.testing.assert_allclose(known, _enlarged(images, kernel, stride), atol=1e-5)
    np.testing.assert_allclose(unknown, known, atol=1e-6)


def test_the_arg_scope_gives_batch_norm_instead_of_biases_and_weight_decay():
    mode = layers.Mode(is_training=True, weight_decay=0.1)
    with layers.arg_scope(mode, decay=0.9):
        outputs = layers.conv2d_transpose(tf.zeros([1, 3, 4, 5]), 6, 4, scope="up")
    assert outputs.op.type == "Relu"
    assert {variable.op.name for variable in tf.model_variables()} == {
        "up/weights",
        *(f"up/BatchNorm/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")),
    }
    assert len(tf.losses.get_regularization_losses()) == 1


def test_there_may_be_neither_biases_nor_batch_norm():
    layers.conv2d_transpose(tf.zeros([1, 3, 4, 5]), 6, 4, use_biases=False, scope="up")
    assert [variable.op.name for variable in tf.model_variables()] == ["up/weights"]
