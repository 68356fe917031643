"""Convolutions of features whose pixels were repeated, with fewer multiplications.

A 3x3 kernel over features of twice the size meets each pixel of the small ones several times. The
elements of the kernel that meet the same pixel are added first: what is left is a transposed
convolution of stride 2 with a 4x4 kernel, which has 4/9 of the multiplications and needs neither
the large features nor their concatenation with others.
"""

from __future__ import annotations

from typing import NamedTuple

from utils.compat import tf

_KERNEL_SIZE = 3


class Doubled(NamedTuple):
    """Features that were doubled.

    Attributes:
      small: float32 [N, h, w, channels], the features before.
      beside: float32 [N, 2h, 2w, others], what was concatenated after them, or None.
    """

    small: tf.Tensor
    beside: tf.Tensor | None


def find(inputs: tf.Tensor) -> Doubled | None:
    """Returns what doubled features, alone or before one other tensor, were made of, or None.

    Args:
      inputs: float32 [N, H, W, channels].
    """
    enlarged, beside = inputs, None
    if inputs.op.type == "ConcatV2" and len(inputs.op.inputs) == 3:
        enlarged, beside = inputs.op.inputs[:2]
        channels = [tensor.shape.as_list()[3] for tensor in (enlarged, beside, inputs)]
        if None in channels or channels[0] + channels[1] != channels[2]:
            return None
    if enlarged.op.type != "ResizeNearestNeighbor" or enlarged.op.get_attr("align_corners"):
        return None
    small = enlarged.op.inputs[0]
    sides, doubled = (tensor.shape.as_list()[1:3] for tensor in (small, enlarged))
    if None in sides or doubled != [2 * side for side in sides]:
        return None
    return Doubled(small, beside)


def fits(weights: tf.Tensor) -> bool:
    """Whether a kernel has the size that `convolve` takes."""
    return weights.shape.as_list()[:2] == [_KERNEL_SIZE, _KERNEL_SIZE]


def convolve(features: Doubled, weights: tf.Tensor, convolve_beside) -> tf.Tensor:
    """Returns the convolution of doubled features, [N, 2h, 2w, filters].

    Args:
      features: Its inputs.
      weights: float32 [3, 3, channels + others, filters].
      convolve_beside: Function that convolves the other features with their share of the weights.
    """
    count, height, width, channels = features.small.shape.as_list()
    shape = [count, 2 * height, 2 * width, weights.shape.as_list()[3]]
    if count is None:
        shape[0] = tf.shape(features.small)[0]
    kernel = _summed(weights[:, :, :channels])
    outputs = tf.nn.conv2d_transpose(features.small, kernel, shape, [1, 2, 2, 1], "SAME")
    if features.beside is None:
        return outputs
    return outputs + convolve_beside(features.beside, weights[:, :, channels:])


def _summed(weights) -> tf.Tensor:
    """Returns the kernel of the transposed convolution, [4, 4, filters, channels].

    A small pixel at row i is at the rows 2i and 2i + 1; the output rows 2i - 1 to 2i + 2 read it,
    by the elements (2), (1, 2), (0, 1) and (0) of a column of the kernel.
    """
    for axis in (0, 1):
        margins = [[0, 0]] * 4
        before, after = list(margins), list(margins)
        before[axis], after[axis] = [1, 0], [0, 1]
        weights = tf.pad(weights, before) + tf.pad(weights, after)
    return tf.transpose(tf.reverse(weights, [0, 1]), [0, 1, 3, 2])
