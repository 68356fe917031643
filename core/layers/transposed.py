"""Transposed convolutions, which enlarge features by learned filters."""

from __future__ import annotations

from core.layers.conv import finish, l2_regularizer, pair
from core.layers.mode import INFERENCE, Mode
from core.layers.resize import spatial_size
from utils.compat import slim, tf


@slim.add_arg_scope
def conv2d_transpose(
    inputs: tf.Tensor,
    filters: int,
    kernel_size,
    stride: int = 2,
    *,
    activation_fn=tf.nn.relu,
    normalizer_fn=None,
    use_biases: bool = True,
    weights_initializer=None,
    mode: Mode = INFERENCE,
    scope: str | None = None,
) -> tf.Tensor:
    """Enlarges features by the gradient of a convolution, then normalizes and activates.

    Padding is Keras' `same`: the output is stride times as large.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel, one number or a pair.
      stride: How many times larger the output is.
      activation_fn: Applied last, or None.
      normalizer_fn: Applied instead of biases, or None.
      use_biases: Whether biases are added where there is no normalizer.
      weights_initializer: Glorot uniform if None.
      mode: What the graph is for: weight decay.
      scope: Scope of `weights`, which are [height, width, filters, channels], and
        `biases`.

    Returns:
      [N, h * stride, w * stride, filters].
    """
    with tf.variable_scope(scope, "Conv2d_transpose", [inputs]):
        channels = inputs.shape.as_list()[-1]
        weights = slim.model_variable(
            "weights",
            [*pair(kernel_size), filters, channels],
            initializer=weights_initializer or tf.glorot_uniform_initializer(),
            regularizer=l2_regularizer(mode.weight_decay),
        )
        outputs = tf.nn.conv2d_transpose(
            inputs, weights, _output_shape(inputs, filters, stride), [1, stride, stride, 1], "SAME"
        )
        return finish(outputs, filters, normalizer_fn, activation_fn, use_biases)


def _output_shape(inputs, filters, stride) -> list:
    count = inputs.shape.as_list()[0]
    sides = [side * stride for side in spatial_size(inputs)]
    return [tf.shape(inputs)[0] if count is None else count, *sides, filters]
