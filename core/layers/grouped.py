"""Grouped convolutions: each group of filters sees its own group of channels (arXiv 1611.05431).

TensorFlow's kernels for CPU have no gradient for groups, and TF 1.15 and the NPU have no groups at
all. One convolution for each of 32 groups of 4 channels keeps a processor busy with overhead, and
one dense convolution multiplies 31 zeros for each weight. So neighboring groups are merged until
they have about 16 channels, and each merged group is a dense convolution whose kernel has zeros
between the groups.

Forward and backward of ResNeXt's 3x3 convolutions in ms, batch 4, two cores of an AMD EPYC, by
the channels of a merged group (dense: all of them):

| features, channels, TensorFlow |  32 | 16 |   8 |   4 | dense |
| ------------------------------ | --- | -- | --- | --- | ----- |
| 64x64, 128, 2.21               |  24 | 17 |  17 |  39 |    67 |
| 32x32, 256, 2.21               |  23 | 17 |  23 |     |   140 |
| 16x16, 512, 2.21               |  15 | 17 |     |     |   131 |
| 64x64, 128, 1.15               |  60 | 76 |  86 | 127 |       |
| 32x32, 256, 1.15               |  42 | 37 |  56 |     |       |
"""

from __future__ import annotations

import numpy as np

from core.layers import convolution
from utils.compat import tf

# Channels that a merged group has at least, if there are so many.
_MERGED_CHANNELS = 16


def convolve(
    inputs: tf.Tensor, weights: tf.Tensor, groups: int, stride: int = 1, rate: int = 1, **settings
) -> tf.Tensor:
    """Convolves each group of channels by itself.

    Args:
      inputs: [N, h, w, channels].
      weights: [height, width, channels / groups, filters]; the filters of the first group come
        first.
      groups: Number of groups; divides channels and filters.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      **settings: Further arguments of `convolution.convolve`.

    Raises:
      ValueError: If the groups do not divide the channels or the filters.
    """
    channels, (depth, filters) = inputs.shape.as_list()[3], weights.shape.as_list()[2:]
    if channels != depth * groups or filters % groups:
        raise ValueError(f"{groups} groups of {channels} channels and {filters} filters.")
    merged = _groups_to_merge(groups, depth)
    kernels = _merged_kernels(weights, groups, merged)
    parts = _parts(inputs, groups // merged)
    outputs = [
        convolution.convolve(part, kernel, stride, rate, **settings)
        for part, kernel in zip(parts, kernels)
    ]
    return _joined(outputs)


def _groups_to_merge(groups, depth) -> int:
    """Returns the smallest divisor of the groups that gives a merged group enough channels."""
    enough = (
        number
        for number in range(1, groups)
        if groups % number == 0 and number * depth >= _MERGED_CHANNELS
    )
    return next(enough, groups)


def _merged_kernels(weights, groups, merged) -> list:
    """Returns the kernel of each merged group, zero where a filter does not see a channel."""
    height, width, depth, filters = weights.shape.as_list()
    group_of_channel = np.arange(merged * depth) // depth
    group_of_filter = np.arange(filters) // (filters // groups) % merged
    sees = group_of_channel[:, np.newaxis] == group_of_filter
    dense = tf.tile(weights, [1, 1, merged, 1]) * tf.constant(sees.astype(np.float32))
    parts = groups // merged
    shape = [height, width, merged * depth, parts, filters // parts]
    return tf.unstack(tf.reshape(dense, shape), axis=3)


def _parts(inputs, count) -> list:
    """Returns the channels of an input in equal parts; cheaper than slices, also backward."""
    if count == 1:
        return [inputs]
    shape = [*_leading(inputs), count, inputs.shape.as_list()[3] // count]
    return tf.unstack(tf.reshape(inputs, shape), axis=3)


def _joined(outputs):
    """Returns the channels of all outputs; the gradient of a concatenation would split by sizes."""
    if len(outputs) == 1:
        return outputs[0]
    channels = len(outputs) * outputs[0].shape.as_list()[3]
    return tf.reshape(tf.stack(outputs, axis=3), [*_leading(outputs[0]), channels])


def _leading(features) -> list:
    """Returns all dimensions but the last, as numbers or tensors."""
    static = features.shape.as_list()[:3]
    return tf.unstack(tf.shape(features)[:3]) if None in static else static
