"""Convolutions with normalization and activation, with tf-slim's variable names.

How a convolution is computed is the business of `core/layers/convolution.py`.
"""

from __future__ import annotations

from core.layers import convolution, grouped
from core.layers.mode import INFERENCE, Mode
from utils.compat import slim, tf


@slim.add_arg_scope
def conv2d(
    inputs: tf.Tensor,
    filters: int,
    kernel_size,
    stride: int = 1,
    rate: int = 1,
    *,
    groups: int = 1,
    padding: str = "SAME",
    activation_fn=tf.nn.relu,
    normalizer_fn=None,
    use_biases: bool = True,
    weights_initializer=None,
    biases_initializer=None,
    mode: Mode = INFERENCE,
    scope: str | None = None,
) -> tf.Tensor:
    """Convolves, then normalizes (or adds biases), then activates.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel, one number or a pair.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      groups: Number of groups of filters, each of which sees its own group of channels; the kernel
        is [kernel_size, kernel_size, channels / groups, filters].
      padding: SAME or VALID.
      activation_fn: Applied last, or None.
      normalizer_fn: Applied instead of biases, or None.
      use_biases: Whether biases are added where there is no normalizer. Without them the outputs
        are the convolution's, for networks whose batch norm is a layer of its own.
      weights_initializer: Glorot uniform if None.
      biases_initializer: Zeros if None.
      mode: What the graph is for: weight decay, and how it is computed.
      scope: Scope of `weights` and `biases`.

    Returns:
      [N, ceil(h / stride), ceil(w / stride), filters] with SAME padding.
    """
    with tf.variable_scope(scope, "Conv", [inputs]):
        channels = inputs.shape.as_list()[-1]
        weights = slim.model_variable(
            "weights",
            [*pair(kernel_size), channels // groups, filters],
            initializer=weights_initializer or tf.glorot_uniform_initializer(),
            regularizer=l2_regularizer(mode.weight_decay),
        )
        settings = {"padding": padding, "formulation": mode.formulation}
        if groups == 1:
            outputs = convolution.convolve(inputs, weights, stride, rate, **settings)
        else:
            outputs = grouped.convolve(inputs, weights, groups, stride, rate, **settings)
        return finish(
            outputs, filters, normalizer_fn, activation_fn, use_biases, biases_initializer
        )


def conv2d_same(
    inputs: tf.Tensor, filters: int, kernel_size: int, stride: int = 1, rate: int = 1, **settings
) -> tf.Tensor:
    """Convolves with the same padding on both sides, whatever the size of the input.

    TensorFlow's SAME pads a strided convolution by an amount that depends on the size; with this
    one, striding equals convolving densely and keeping every stride-th row and column. Without a
    stride both are the same.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      **settings: Further arguments of `conv2d`.
    """
    if stride == 1 or kernel_size == 1:
        return conv2d(inputs, filters, kernel_size, stride, rate, **settings)
    before = (kernel_size - 1) // 2
    after = kernel_size - 1 - before
    padded = tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
    return conv2d(padded, filters, kernel_size, stride, rate, padding="VALID", **settings)


@slim.add_arg_scope
def depthwise_conv2d(
    inputs: tf.Tensor,
    kernel_size,
    stride: int = 1,
    rate=1,
    *,
    padding: str = "SAME",
    activation_fn=tf.nn.relu,
    normalizer_fn=None,
    use_biases: bool = True,
    weights_initializer=None,
    scope: str | None = None,
) -> tf.Tensor:
    """Convolves each channel by itself, normalizes (or adds biases), activates.

    The variable is called `depthwise_weights`, [height, width, channels, 1]; it is never
    regularized, as in the DeepLab family.

    An atrous rate always goes through SpaceToBatch: on CPU the kernel's own dilation is wrong
    without an error (forward on TF 1.15, gradients on TF 2.21), and slower at large rates.

    Args:
      inputs: [N, h, w, channels].
      kernel_size: Height and width of the kernel, one number or a pair.
      stride: Output stride.
      rate: Atrous rate, one number or a pair (height, width); above 1 it needs stride 1.
      padding: SAME or VALID.
      activation_fn: Applied last, or None.
      normalizer_fn: Applied instead of biases, or None.
      use_biases: Whether biases are added where there is no normalizer.
      weights_initializer: Glorot uniform if None.
      scope: Scope of `depthwise_weights` and `biases`.
    """
    with tf.variable_scope(scope, "SeparableConv2d", [inputs]):
        channels = inputs.shape.as_list()[-1]
        weights = slim.model_variable(
            "depthwise_weights",
            [*pair(kernel_size), channels, 1],
            initializer=weights_initializer or tf.glorot_uniform_initializer(),
        )
        outputs = tf.nn.depthwise_conv2d(
            inputs, weights, [1, stride, stride, 1], padding, rate=pair(rate)
        )
        return finish(outputs, channels, normalizer_fn, activation_fn, use_biases)


def pair(value) -> list[int]:
    """Returns a pair of numbers, of one number or a pair."""
    return [value, value] if isinstance(value, int) else list(value)


def finish(
    outputs, channels, normalizer_fn, activation_fn, use_biases=True, biases_initializer=None
):
    """Normalizes or adds biases, then activates."""
    if normalizer_fn is not None:
        outputs = normalizer_fn(outputs)
    elif use_biases:
        initializer = biases_initializer or tf.zeros_initializer()
        biases = slim.model_variable("biases", [channels], initializer=initializer)
        outputs = tf.nn.bias_add(outputs, biases)
    return outputs if activation_fn is None else activation_fn(outputs)


def split_separable_conv2d(
    inputs: tf.Tensor, filters: int, kernel_size: int = 3, rate: int = 1, *, scope: str
) -> tf.Tensor:
    """Convolves depthwise, then pointwise, each followed by normalization and activation.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the depthwise kernel.
      rate: Atrous rate of the depthwise convolution, or its (height, width).
      scope: The variables are in `SCOPE_depthwise` and `SCOPE_pointwise`.
    """
    outputs = depthwise_conv2d(
        inputs,
        kernel_size,
        rate=rate,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.33),
        scope=scope + "_depthwise",
    )
    return conv2d(
        outputs,
        filters,
        1,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.06),
        scope=scope + "_pointwise",
    )


def quantized_sigmoid(inputs: tf.Tensor) -> tf.Tensor:
    """Returns the piecewise linear sigmoid of MobileNetV3, with the family's rounded 1/6."""
    return tf.nn.relu6(inputs + 3.0) * 0.16667


def l2_regularizer(weight_decay: float):
    """Returns the function weights -> weight_decay * sum(weights^2) / 2, or None for 0."""
    if not weight_decay:
        return None
    return lambda weights: tf.multiply(weight_decay, tf.nn.l2_loss(weights), name="l2_regularizer")
