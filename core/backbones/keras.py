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
    norm_scope: str,
    activation_fn=tf.nn.relu,
    convolution=layers.conv2d,
    **more,
) -> tf.Tensor:
    """Convolves, normalizes in a scope of its own and activates.

    Args:
      inputs: [N, h, w, channels].
      *settings: Further arguments of the convolution: filters, kernel size, stride, rate.
      scope: Scope of the convolution's variables.
      norm_scope: Scope of the batch norm's variables.
      activation_fn: Applied last, or None.
      convolution: `layers.conv2d`, or `layers.conv2d_same` for padding that does not depend on the
        size.
      **more: Further arguments of the convolution by name.
    """
    outputs = convolution(
        inputs, *settings, activation_fn=None, normalizer_fn=None, scope=scope, **more
    )
    return normalize(outputs, norm_scope, activation_fn)


def normalize(inputs: tf.Tensor, scope: str, activation_fn=tf.nn.relu) -> tf.Tensor:
    """Normalizes a batch in a scope and activates, unless there is no activation."""
    outputs = layers.batch_norm(inputs, scope=scope)
    return outputs if activation_fn is None else activation_fn(outputs)


def low_level(stages: dict, output_stride: int) -> dict:
    """Returns the stages that DeepLab's decoder can take: stride 4 and more, below the output's."""
    return {stride: stages[stride] for stride in (4, 8, 16) if stride < output_stride}
