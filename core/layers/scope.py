"""Settings that all layers of a part of a network share."""

from __future__ import annotations

import contextlib

from core.layers.conv import conv2d, depthwise_conv2d
from core.layers.mode import Mode
from core.layers.norm import batch_norm
from core.layers.transposed import conv2d_transpose
from utils.compat import slim, tf


@contextlib.contextmanager
def arg_scope(
    mode: Mode,
    *,
    decay: float,
    epsilon: float = 1e-5,
    activation_fn=tf.nn.relu,
    weights_initializer=None,
):
    """Sets the arguments of layers in a network whose convolutions are followed by batch norm.

    Args:
      mode: What the graph is for.
      decay: Decay of the moving averages.
      epsilon: Added to the variance.
      activation_fn: Applied after batch norm, or None.
      weights_initializer: Of every kernel; Glorot uniform if None.
    """
    with slim.arg_scope(
        [conv2d, conv2d_transpose, depthwise_conv2d],
        normalizer_fn=batch_norm,
        activation_fn=activation_fn,
        weights_initializer=weights_initializer,
    ), slim.arg_scope([conv2d, conv2d_transpose], mode=mode), slim.arg_scope(
        [batch_norm], mode=mode, decay=decay, epsilon=epsilon
    ):
        yield
