"""Convolution and batch norm as two layers with scopes of their own, as PyTorch's networks are."""

from __future__ import annotations

from core.layers.conv import conv2d_same, depthwise_conv2d
from core.layers.norm import batch_norm
from utils.compat import tf


def conv2d_batch_norm(
    inputs: tf.Tensor,
    filters: int,
    kernel_size: int,
    stride: int = 1,
    rate: int = 1,
    *,
    activation_fn=tf.nn.relu,
    scope: str,
    norm_scope: str,
    **settings,
) -> tf.Tensor:
    """Convolves as `conv2d_same` does, without biases, then normalizes and activates.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      activation_fn: Applied last, or None.
      scope: Scope of the convolution's `weights`.
      norm_scope: Scope of the batch norm's variables.
      **settings: Further arguments of `conv2d`.
    """
    outputs = conv2d_same(
        inputs,
        filters,
        kernel_size,
        stride,
        rate,
        activation_fn=None,
        normalizer_fn=None,
        use_biases=False,
        scope=scope,
        **settings,
    )
    return normalize(outputs, norm_scope, activation_fn)


def depthwise_conv2d_batch_norm(
    inputs: tf.Tensor,
    kernel_size: int,
    stride: int = 1,
    rate: int = 1,
    *,
    activation_fn=tf.nn.relu,
    scope: str,
    norm_scope: str,
    **settings,
) -> tf.Tensor:
    """Convolves each channel by itself with the same padding on both sides, normalizes, activates.

    Args:
      inputs: [N, h, w, channels].
      kernel_size: Height and width of the kernel, odd.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      activation_fn: Applied last, or None.
      scope: Scope of the convolution's `depthwise_weights`.
      norm_scope: Scope of the batch norm's variables.
      **settings: Further arguments of `depthwise_conv2d`.
    """
    padding = "SAME"
    if stride > 1:
        margin = [kernel_size // 2, kernel_size // 2]
        inputs, padding = tf.pad(inputs, [[0, 0], margin, margin, [0, 0]]), "VALID"
    outputs = depthwise_conv2d(
        inputs,
        kernel_size,
        stride,
        rate,
        padding=padding,
        activation_fn=None,
        normalizer_fn=None,
        use_biases=False,
        scope=scope,
        **settings,
    )
    return normalize(outputs, norm_scope, activation_fn)


def normalize(inputs: tf.Tensor, scope: str, activation_fn=tf.nn.relu) -> tf.Tensor:
    """Normalizes a batch in a scope and activates, unless there is no activation."""
    outputs = batch_norm(inputs, scope=scope)
    return outputs if activation_fn is None else activation_fn(outputs)
