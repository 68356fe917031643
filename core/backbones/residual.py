"""What the residual networks of the Keras segmentation libraries share."""

from __future__ import annotations

from typing import Iterator, NamedTuple

from core import layers
from utils.compat import tf

# Of the strides below the output stride, those whose features DeepLab's decoder can take.
LOW_LEVEL_STRIDES = (4, 8, 16)

# Channels of squeeze-and-excitation's hidden layer are so many times fewer.
_REDUCTION = 16

# The initial values that Keras calls he_uniform.
HE_UNIFORM = tf.variance_scaling_initializer(2.0, "fan_in", "uniform")


class Place(NamedTuple):
    """Where a unit stands in a network, and how it strides.

    Attributes:
      stage: Number of the stage, from 1.
      unit: Number of the unit in its stage, from 1.
      stride: Stride of the unit.
      rate: Atrous rate of the convolution that has the stride, and of those before it.
      next_rate: Atrous rate of the convolutions after it.
      full_stride: Stride of the unit's output if the output stride is 32.
    """

    stage: int
    unit: int
    stride: int
    rate: int
    next_rate: int
    full_stride: int


def places(units, output_stride: int) -> Iterator[Place]:
    """Yields the place of each unit; the first one of stages 2, 3 and 4 has stride 2.

    Strides past the output stride become atrous rates.

    Args:
      units: Number of units in each of the four stages, the first of which has stride 4.
      output_stride: Stride of the network's output.
    """
    reached, rate, full_stride = 4, 1, 4
    for stage, count in enumerate(units, 1):
        for unit in range(1, count + 1):
            stride = 2 if unit == 1 and stage > 1 else 1
            atrous = reached == output_stride
            full_stride *= stride
            next_rate = rate * stride if atrous else rate
            yield Place(stage, unit, 1 if atrous else stride, rate, next_rate, full_stride)
            rate, reached = next_rate, reached if atrous else reached * stride


def convolve(inputs, filters: int, kernel_size: int, stride: int = 1, rate: int = 1, **settings):
    """Convolves with the same padding on both sides, and does nothing else."""
    return layers.conv2d_same(
        inputs,
        filters,
        kernel_size,
        stride,
        rate,
        activation_fn=None,
        normalizer_fn=None,
        use_biases=False,
        **settings,
    )


def squeeze_and_excite(inputs: tf.Tensor, scopes) -> tf.Tensor:
    """Scales channels by what a small network makes of their means (arXiv 1709.01507).

    Args:
      inputs: [N, h, w, channels].
      scopes: Names of its two 1x1 convolutions.
    """
    channels = inputs.shape.as_list()[3]
    scale = tf.reduce_mean(inputs, [1, 2], keepdims=True)
    settings = {"normalizer_fn": None}
    scale = layers.conv2d(scale, channels // _REDUCTION, 1, scope=scopes[0], **settings)
    return inputs * layers.conv2d(
        scale, channels, 1, activation_fn=tf.sigmoid, scope=scopes[1], **settings
    )


def low_level(stages: dict, output_stride: int) -> dict:
    """Returns the stages that DeepLab's decoder can take."""
    return {stride: stages[stride] for stride in LOW_LEVEL_STRIDES if stride < output_stride}
