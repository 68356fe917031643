"""How convolutions and their gradients are computed: which operations, not which layers.

A convolution is the same function in every formulation; they differ in speed. On CPU the gradients
that TensorFlow takes lose a large part of a training step, so that the formulation for training
there computes them as matrix products; docs/performance.md has the measurements.

All tensors are NHWC.
"""

from __future__ import annotations

from core.layers import doubled
from utils.compat import (
    has_native_atrous_gradient,
    matmul_prefers_wide_results,
    tf,
    uses_onednn,
)

# One operation, with TensorFlow's gradients: inference everywhere, training on NPU and GPU.
NATIVE = "native"
# Gradients by matrix products; atrous convolutions as one operation where this TensorFlow can train
# that, else as a sum of shifted 1x1 convolutions; 3x3 convolutions of repeated pixels as transposed
# ones where oneDNN has fast kernels for them: training on CPU.
PRODUCTS = "products"
# Atrous convolutions through SpaceToBatch, as tf-slim does it; for comparison.
SPACE_TO_BATCH = "space_to_batch"
FORMULATIONS = (NATIVE, PRODUCTS, SPACE_TO_BATCH)

_GRADIENT = "DeeplabConvolutionByProducts"

# Channels from which on an undilated kernel's gradient is faster by one product for each element.
_WIDE = 256


def convolve(
    inputs: tf.Tensor,
    weights: tf.Tensor,
    stride: int = 1,
    rate: int = 1,
    *,
    padding: str = "SAME",
    formulation: str = PRODUCTS,
) -> tf.Tensor:
    """Convolves.

    Args:
      inputs: [N, h, w, channels].
      weights: [height, width, channels, filters].
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      padding: SAME or VALID.
      formulation: One of FORMULATIONS; the result is the same.

    Raises:
      ValueError: If both stride and rate are above 1, or there is no such formulation.
    """
    if rate != 1 and stride != 1:
        raise ValueError(f"stride {stride} with atrous rate {rate}: one of them must be 1.")
    if formulation not in FORMULATIONS:
        raise ValueError(f"formulation is {formulation}, but must be one of {FORMULATIONS}.")
    if formulation == NATIVE or (formulation == SPACE_TO_BATCH and rate == 1):
        return _convolution(inputs, weights, stride, rate, padding)
    if formulation == SPACE_TO_BATCH:
        return tf.nn.convolution(inputs, weights, padding, dilation_rate=[rate, rate])
    if rate == stride == 1 and padding == "SAME" and doubled.fits(weights) and uses_onednn():
        features = doubled.find(inputs)
        if features is not None:
            return doubled.convolve(features, weights, convolve)
    if rate == 1 or has_native_atrous_gradient():
        return _with_products(inputs, weights, stride, rate, padding)
    if padding == "SAME" and None not in inputs.shape.as_list()[1:3]:
        return _sum_of_shifts(inputs, weights, rate)
    return tf.nn.convolution(inputs, weights, padding, dilation_rate=[rate, rate])


def _convolution(inputs, weights, stride, rate, padding):
    return tf.nn.conv2d(
        inputs, weights, [1, stride, stride, 1], padding, dilations=[1, rate, rate, 1]
    )


def _with_products(inputs, weights, stride, rate, padding):
    """Returns one operation whose gradients are computed by `_gradients`."""
    with tf.get_default_graph().gradient_override_map({"Conv2D": _GRADIENT}):
        return _convolution(inputs, weights, stride, rate, padding)


@tf.RegisterGradient(_GRADIENT)
def _gradients(operation, gradient):
    """Returns the gradients of inputs and weights of a Conv2D operation."""
    inputs, weights = operation.inputs
    height, width = weights.shape.as_list()[:2]
    settings = {
        "strides": operation.get_attr("strides"),
        "padding": operation.get_attr("padding").decode(),
        "dilations": operation.get_attr("dilations"),
    }
    dense = settings["strides"][1:3] == [1, 1]
    if dense and (height, width) == (1, 1):
        return _pointwise_gradients(inputs, weights, gradient)
    rate = settings["dilations"][1]
    fits = dense and settings["padding"] == "SAME" and None not in inputs.shape.as_list()[1:3]
    if fits and (rate > 1 or min(weights.shape.as_list()[2:]) >= _WIDE):
        by_weights = _weights_gradient(inputs, weights, gradient, rate)
    else:
        by_weights = tf.nn.conv2d_backprop_filter(inputs, tf.shape(weights), gradient, **settings)
    gradient = _after(by_weights, gradient)
    return tf.nn.conv2d_backprop_input(tf.shape(inputs), weights, gradient, **settings), by_weights


def _after(by_weights, gradient):
    """Returns the outputs' gradient, there when the weights' one is: features are freed sooner.

    Without oneDNN an operation leaves cores idle, which the gradient by inputs beside it fills.
    """
    if matmul_prefers_wide_results():
        return gradient
    with tf.control_dependencies([by_weights]):
        return tf.identity(gradient)


def _pointwise_gradients(inputs, weights, gradient):
    by_weights = _product(_as_matrix(inputs), _as_matrix(gradient))
    gradient = _after(by_weights, gradient)
    by_inputs = tf.matmul(_as_matrix(gradient), weights[0, 0], transpose_b=True)
    return tf.reshape(by_inputs, tf.shape(inputs)), tf.reshape(by_weights, weights.shape)


def _weights_gradient(inputs, weights, gradient, rate):
    """Returns the gradient of the weights, each kernel element by one matrix product."""
    size = inputs.shape.as_list()[1:3]
    shape = weights.shape.as_list()
    # Without this dependency the regions would be cut out in the forward pass already, as soon as
    # the inputs are there, and kept until now: nine copies of the inputs of every such layer.
    with tf.control_dependencies([gradient]):
        inputs = tf.identity(inputs)
    elements = []
    for shifts in _shifts(shape[:2], rate):
        if _misses(shifts, size):
            elements.append(tf.zeros(shape[2:], inputs.dtype))
            continue
        (rows, columns), (out_rows, out_columns) = _regions(shifts, size)
        # The next region is cut out beside a product, but not all nine at once.
        with tf.control_dependencies(elements[-2:-1]):
            left = _as_matrix(inputs[:, rows, columns])
            right = _as_matrix(gradient[:, out_rows, out_columns])
        elements.append(_product(left, right))
    return tf.reshape(tf.stack(elements), shape)


def _as_matrix(features):
    return tf.reshape(features, [-1, features.shape.as_list()[3]])


def _product(left, right):
    """Returns left^T right, [C, F] of [P, C] and [P, F]."""
    if matmul_prefers_wide_results() and left.shape.as_list()[1] > right.shape.as_list()[1]:
        return tf.transpose(tf.matmul(right, left, transpose_a=True))
    return tf.matmul(left, right, transpose_a=True)


def _sum_of_shifts(inputs, weights, rate):
    """Returns the atrous convolution with SAME padding as one 1x1 convolution per kernel element.

    Each sees the inputs that its element meets, so that none multiplies padding. Compared with
    SpaceToBatch (two cores, three rates on [2, 33, 33, 2048]) a gradient takes a third of the time
    on TF 1.15 and a tenth on TF 2.6, much less where a rate reaches beyond the features.
    """
    size = inputs.shape.as_list()[1:3]
    shape = weights.shape.as_list()
    # Slices of the kernel would each have a gradient of the kernel's size.
    elements = tf.unstack(tf.reshape(weights, [shape[0] * shape[1], 1, 1, *shape[2:]]))
    parts = [
        _shifted(inputs, element, shifts, size)
        for element, shifts in zip(elements, _shifts(shape[:2], rate))
        if not _misses(shifts, size)
    ]
    return tf.add_n(parts)


def _shifted(inputs, element, shifts, size):
    """Returns the part that one kernel element adds to each output, zero beyond the border."""
    (rows, columns), out_regions = _regions(shifts, size)
    part = _with_products(inputs[:, rows, columns], element, 1, 1, "SAME")
    margins = [[region.start, side - region.stop] for region, side in zip(out_regions, size)]
    return tf.pad(part, [[0, 0], *margins, [0, 0]])


def _shifts(kernel_size, rate) -> list:
    """Returns for each kernel element, row by row, how far its input lies from its output."""
    return [
        tuple(
            index * rate - (count - 1) * rate // 2
            for index, count in zip((row, column), kernel_size)
        )
        for row in range(kernel_size[0])
        for column in range(kernel_size[1])
    ]


def _misses(shifts, size) -> bool:
    """Whether a kernel element meets nothing but padding."""
    return any(abs(shift) >= side for shift, side in zip(shifts, size))


def _regions(shifts, size):
    """Returns the rows and columns of inputs that meet a kernel element, and those of outputs."""
    inputs = [slice(max(0, shift), side + min(0, shift)) for shift, side in zip(shifts, size)]
    outputs = [slice(max(0, -shift), side - max(0, shift)) for shift, side in zip(shifts, size)]
    return inputs, outputs
