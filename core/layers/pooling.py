"""Pooling, with TensorFlow's padding or zeros on every side, and with atrous windows."""

from __future__ import annotations

import functools

from core.layers.resize import spatial_size
from utils.compat import tf


def max_pool(inputs: tf.Tensor, kernel_size, stride, padding="SAME", rate: int = 1) -> tf.Tensor:
    """Takes the maximum over windows.

    Args:
      inputs: float32 [N, h, w, channels].
      kernel_size: Height and width of a window, one number or a pair.
      stride: Distance of two windows, one number or a pair.
      padding: SAME or VALID as TensorFlow has them, or the number of zeros on every side. After a
        ReLU no zero is above the maximum of its window, so that this is PyTorch's padding, too.
      rate: Distance of two pixels of a window; above 1 it needs stride 1 and SAME.
    """
    if rate > 1:
        return _atrous_maxima(inputs, kernel_size, rate)
    if isinstance(padding, str):
        return tf.nn.max_pool(inputs, *_window(kernel_size, stride), padding)
    margin = [padding, padding]
    padded = tf.pad(inputs, [[0, 0], margin, margin, [0, 0]])
    return tf.nn.max_pool(padded, *_window(kernel_size, stride), "VALID")


def average_pool(
    inputs: tf.Tensor, kernel_size, stride, padding="SAME", rate: int = 1
) -> tf.Tensor:
    """Takes the mean over windows.

    Args:
      inputs: float32 [N, h, w, channels].
      kernel_size: Height and width of a window, one number or a pair.
      stride: Distance of two windows, one number or a pair.
      padding: SAME (pixels outside do not count) or VALID.
      rate: Distance of two pixels of a window; above 1 it needs stride 1 and SAME.
    """
    if rate > 1:
        sums, counts = (
            _atrous_sums(tensor, kernel_size, rate)
            for tensor in (inputs, tf.ones_like(inputs[:1, :, :, :1]))
        )
        return sums / counts
    return tf.nn.avg_pool(inputs, *_window(kernel_size, stride), padding)


def _atrous_maxima(inputs, kernel_size, rate):
    """Returns the maxima of atrous windows, first of their rows and then of their columns.

    By ReLU, since the gradient of `tf.maximum` is an operation that an NPU may not have.
    """
    for axis in (1, 2):
        pixels = [_shifted(inputs, axis, shift) for shift in _shifts(kernel_size, rate)]
        inputs = functools.reduce(lambda one, other: one + tf.nn.relu(other - one), pixels)
    return inputs


def _shifted(inputs, axis, shift):
    """Returns the pixels at a distance along an axis; where there is none, the pixel itself."""
    if not shift:
        return inputs
    start, end, far = slice(None, abs(shift)), slice(-abs(shift), None), slice(abs(shift), None)
    parts = [far, end] if shift > 0 else [start, slice(None, -abs(shift))]
    rows = [slice(None)] * axis
    return tf.concat([inputs[(*rows, part)] for part in parts], axis)


def _atrous_sums(inputs, kernel_size, rate):
    """Returns the sums of atrous windows, without the pixels outside."""
    shifts = _shifts(kernel_size, rate)
    margins = [-shifts[0], shifts[-1]]
    height, width = spatial_size(inputs)
    padded = tf.pad(inputs, [[0, 0], margins, [0, 0], [0, 0]])
    rows = tf.add_n([padded[:, number * rate :][:, :height] for number in range(kernel_size)])
    padded = tf.pad(rows, [[0, 0], [0, 0], margins, [0, 0]])
    return tf.add_n([padded[:, :, number * rate :][:, :, :width] for number in range(kernel_size)])


def _shifts(kernel_size, rate) -> list:
    """Returns how far the pixels of a window lie from its output, along one axis."""
    return [(number - (kernel_size - 1) // 2) * rate for number in range(kernel_size)]


def _window(kernel_size, stride) -> tuple:
    return tuple(
        [1, value, value, 1] if isinstance(value, int) else [1, *value, 1]
        for value in (kernel_size, stride)
    )
