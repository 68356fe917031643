"""What the backbones of Keras share: batch norm as a layer of its own, and where strides end."""

from __future__ import annotations

from core import layers
from utils.compat import tf

# Keras' own momentum of batch norm.
BATCH_NORM_DECAY = 0.99


class Strides:
    """Turns the strides beyond an output stride into atrous rates, layer by layer.

    Attributes:
      full: The stride so far if the output stride were 32.
      rate: The atrous rate of the layers from here on.
    """

    def __init__(self, output_stride: int):
        self.full = 1
        self.rate = 1
        self._output_stride = output_stride

    def take(self, stride: int) -> tuple[int, int]:
        """Returns the (stride, rate) that a layer gets instead of a stride."""
        reached, rate = self.full // self.rate, self.rate
        self.full *= stride
        if reached * stride <= self._output_stride:
            return stride, rate
        self.rate *= stride
        return 1, rate


def convolve(
    inputs: tf.Tensor,
    *settings,
    scope: str,
    norm_scope: str | None = None,
    activation_fn=tf.nn.relu,
    use_biases: bool = False,
    convolution=layers.conv2d,
    **more,
) -> tf.Tensor:
    """Convolves, normalizes in a scope of its own and activates.

    Args:
      inputs: [N, h, w, channels].
      *settings: Further arguments of the convolution: filters, kernel size, stride, rate.
      scope: Scope of the convolution's variables.
      norm_scope: Scope of the batch norm's variables; None is the convolution's and `_BN`.
      activation_fn: Applied last, or None.
      use_biases: Whether the convolution has biases too.
      convolution: `layers.conv2d`, `layers.conv2d_same` for padding that does not depend on the
        size, or `layers.depthwise_conv2d`.
      **more: Further arguments of the convolution by name.
    """
    outputs = convolution(
        inputs,
        *settings,
        activation_fn=None,
        normalizer_fn=None,
        use_biases=use_biases,
        scope=scope,
        **more,
    )
    return layers.normalize(outputs, norm_scope or f"{scope}_BN", activation_fn)


def separable(
    inputs: tf.Tensor,
    filters: int,
    stride: int = 1,
    rate: int = 1,
    *,
    scope: str,
    activation_fn=tf.nn.relu,
) -> tf.Tensor:
    """Convolves depthwise (3x3) and pointwise, each followed by batch norm and the activation.

    The padding does not depend on the size, as in `layers.conv2d_same`.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      scope: The variables are in `SCOPE_depthwise`, `SCOPE_pointwise` and their `_BN`.
      activation_fn: Applied after each, or None.
    """
    padding = "SAME"
    if stride > 1:
        inputs, padding = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]]), "VALID"
    outputs = convolve(
        inputs,
        3,
        stride,
        rate,
        padding=padding,
        activation_fn=activation_fn,
        convolution=layers.depthwise_conv2d,
        scope=f"{scope}_depthwise",
    )
    return convolve(outputs, filters, 1, activation_fn=activation_fn, scope=f"{scope}_pointwise")


def low_level(stages: dict, output_stride: int) -> dict:
    """Returns the stages that DeepLab's decoder can take: stride 4 and more, below the output's."""
    return {stride: stages[stride] for stride in (4, 8, 16) if stride < output_stride}
