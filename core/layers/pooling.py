"""Pooling, with TensorFlow's padding or the same number of pixels on every side."""

from __future__ import annotations

from utils.compat import tf


def max_pool(inputs: tf.Tensor, kernel_size, stride, padding="SAME") -> tf.Tensor:
    """Takes the maximum over windows.

    Args:
      inputs: float32 [N, h, w, channels].
      kernel_size: Height and width of a window, one number or a pair.
      stride: Distance of two windows, one number or a pair.
      padding: SAME or VALID as TensorFlow has them, or the number of pixels around the features
        that never are the maximum (PyTorch's padding); at most half of the kernel size.
    """
    if isinstance(padding, str):
        return tf.nn.max_pool(inputs, *_window(kernel_size, stride), padding)
    # Every window holds a pixel of the features, so that the lowest number never wins.
    padded = tf.pad(inputs, _margins(padding), constant_values=inputs.dtype.min)
    return tf.nn.max_pool(padded, *_window(kernel_size, stride), "VALID")


def average_pool(inputs: tf.Tensor, kernel_size, stride, padding="SAME") -> tf.Tensor:
    """Takes the mean over windows.

    Args:
      inputs: float32 [N, h, w, channels].
      kernel_size: Height and width of a window, one number or a pair.
      stride: Distance of two windows, one number or a pair.
      padding: SAME (pixels outside do not count) or VALID as TensorFlow has them, or the number of
        pixels around the features that count as zeros (PyTorch's padding).
    """
    if isinstance(padding, str):
        return tf.nn.avg_pool(inputs, *_window(kernel_size, stride), padding)
    padded = tf.pad(inputs, _margins(padding))
    return tf.nn.avg_pool(padded, *_window(kernel_size, stride), "VALID")


def _window(kernel_size, stride) -> tuple:
    return tuple(
        [1, value, value, 1] if isinstance(value, int) else [1, *value, 1]
        for value in (kernel_size, stride)
    )


def _margins(pixels) -> list:
    return [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]]
