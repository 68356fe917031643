"""Pooling with zeros on every side, and with atrous windows."""

import numpy as np
import pytest

from core import layers
from utils.compat import tf


def _pooled(pool, images, *settings):
    with tf.Session() as session:
        return session.run(pool(tf.constant(images, tf.float32), *settings))


def _expected(images, kernel_size, stride, padding):
    margins = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    padded = np.pad(images, margins, constant_values=-np.inf)
    rows, columns = ((side - kernel_size) // stride + 1 for side in padded.shape[1:3])
    return np.stack(
        [
            np.stack(
                [
                    np.max(
                        padded[:, y : y + kernel_size, x : x + kernel_size].reshape(
                            len(images), -1, images.shape[3]
                        ),
                        axis=1,
                    )
                    for x in range(0, columns * stride, stride)
                ],
                axis=1,
            )
            for y in range(0, rows * stride, stride)
        ],
        axis=1,
    )


@pytest.mark.parametrize("size", [(8, 9), (7, 6)])
@pytest.mark.parametrize("padding", [0, 1])
def test_zeros_on_every_side_are_no_maximum_after_a_relu(size, padding):
    images = np.random.RandomState(0).uniform(0, 3, (2, *size, 3))
    expected = _expected(images, 3, 2, padding)
    found = _pooled(layers.max_pool, images, 3, 2, padding)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_with_tensorflow_s_padding_a_mean_leaves_out_what_is_outside():
    images = np.random.RandomState(0).uniform(1, 3, (1, 5, 5, 2))
    found = _pooled(layers.average_pool, images, 2, 2, "SAME")
    np.testing.assert_allclose(found[0, 2, 2], images[0, 4, 4], rtol=1e-5)


def test_windows_need_not_be_square():
    images = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    found = _pooled(layers.max_pool, images, (1, 3), 1, "VALID")
    np.testing.assert_array_equal(found[0, :, :, 0], [[2, 3], [6, 7], [10, 11]])
    assert _pooled(layers.average_pool, images, (3, 2), 1, "VALID").shape == (1, 1, 3, 1)


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("rate", [2, 3, 9])
def test_atrous_windows_leave_out_what_is_outside(kernel_size, rate):
    # All values are negative: a zero outside would be the maximum.
    images = np.random.RandomState(0).uniform(-3, -1, (2, 8, 5, 3)).astype(np.float32)
    before = (kernel_size - 1) // 2 * rate
    margins = [(0, 0), *[(before, (kernel_size - 1) * rate - before)] * 2, (0, 0)]
    padded = np.pad(images, margins, constant_values=np.nan)
    shifts = [rate * number for number in range(kernel_size)]
    windows = np.stack([padded[:, y : y + 8, x : x + 5] for y in shifts for x in shifts])
    for pool, function in ((layers.max_pool, np.nanmax), (layers.average_pool, np.nanmean)):
        found = _pooled(pool, images, kernel_size, 1, "SAME", rate)
        np.testing.assert_allclose(found, function(windows, axis=0), rtol=1e-5)


def test_atrous_windows_of_features_of_unknown_size_are_pooled_alike():
    images = np.random.RandomState(0).uniform(-3, 3, (1, 6, 5, 2)).astype(np.float32)
    features = tf.placeholder(tf.float32, [None, None, None, 2])
    with tf.Session() as session:
        for pool in (layers.max_pool, layers.average_pool):
            found = session.run(pool(features, 3, 1, rate=2), {features: images})
            np.testing.assert_allclose(found, _pooled(pool, images, 3, 1, "SAME", 2), rtol=1e-6)
