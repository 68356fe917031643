"""What the decoders of the Keras segmentation libraries share.

Convolutions and batch norms are layers of their own, with the names of the original.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

from core import layers
from core.backbones import Features
from options.network import NetworkSpec
from utils.compat import tf

SCOPE = "decoder"
CLASSIFIER = "logits/semantic"
_BATCH_NORM_EPSILON = 1e-3

# Strides of the stages that a decoder goes back to, and at last the image's.
STRIDES = (16, 8, 4, 2)
_STEPS = (*STRIDES, 1)


class Step(NamedTuple):
    """A step of a decoder from the backbone's output to the image.

    Attributes:
      skip: The stage that it is joined with, or None.
      size: (height, width) of its outputs, as numbers or tensors.
      factor: How many times larger its outputs are than its inputs.
    """

    skip: tf.Tensor | None
    size: tuple
    factor: int


def steps(
    features: Features, count: int, skips: int, output_stride: int, image_size
) -> Iterator[Step]:
    """Yields the first steps of a decoder.

    They are the same at every output stride: where a stage has the size of what it joins, nothing
    is enlarged.

    Args:
      features: The backbone's.
      count: Number of steps, at most five.
      skips: Number of steps that a stage joins.
      output_stride: Stride of the backbone's output.
      image_size: (height, width) of the images.
    """
    reached = output_stride
    for number, stride in enumerate(_STEPS[:count]):
        stage = features.stages.get(stride)
        size = image_size if stride == 1 else layers.spatial_size(stage)
        yield Step(stage if number < skips else None, size, reached // min(stride, output_stride))
        reached = min(stride, output_stride)


def stride_after(count: int, output_stride: int) -> int:
    """Returns the stride of the outputs of so many steps."""
    return min(_STEPS[count - 1], output_stride)


def arg_scope(spec: NetworkSpec, mode: layers.Mode):
    """Returns the arg scope of a decoder: Keras' initial values and epsilon."""
    return layers.arg_scope(mode, decay=spec.options.batch_norm_decay, epsilon=_BATCH_NORM_EPSILON)


def convolve(
    inputs: tf.Tensor,
    filters: int,
    kernel_size: int,
    use_batch_norm: bool,
    *,
    scope: str,
    norm_scope: str,
    layer=layers.conv2d,
    keeps_biases: bool = False,
) -> tf.Tensor:
    """Convolves, normalizes (or adds biases), applies ReLU.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel.
      use_batch_norm: Whether there is batch norm instead of biases.
      scope: Scope of the convolution.
      norm_scope: Scope of the batch norm.
      layer: The kind of convolution.
      keeps_biases: Whether there are biases beside batch norm.
    """
    outputs = layer(
        inputs,
        filters,
        kernel_size,
        activation_fn=None,
        normalizer_fn=None,
        use_biases=keeps_biases or not use_batch_norm,
        scope=scope,
    )
    if use_batch_norm:
        outputs = layers.batch_norm(outputs, scope=norm_scope)
    return tf.nn.relu(outputs)


def classify(inputs: tf.Tensor, channels: int, mode: layers.Mode) -> tf.Tensor:
    """Returns the logits, a 3x3 convolution with biases."""
    return layers.conv2d(
        inputs,
        channels,
        3,
        activation_fn=None,
        normalizer_fn=None,
        mode=mode,
        scope=CLASSIFIER,
    )


def enlarge(inputs: tf.Tensor, size) -> tf.Tensor:
    """Repeats pixels until features have a size."""
    return layers.resize_nearest(inputs, size, align_corners=False)


def resize(inputs: tf.Tensor, size, interpolation: str) -> tf.Tensor:
    """Resizes features; `interpolation` is "bilinear" (with aligned corners) or "nearest"."""
    if interpolation == "nearest":
        return enlarge(inputs, size)
    return layers.resize_bilinear(inputs, size, align_corners=True)


def transpose(step: Step):
    """Returns a transposed convolution to the size of a step, as a `layer` of `convolve`."""

    def layer(inputs, filters, kernel_size, **settings):
        outputs = layers.conv2d_transpose(inputs, filters, kernel_size, step.factor, **settings)
        if outputs.shape.as_list()[1:3] == list(step.size):
            return outputs
        # An odd size is half of the next even one, rounded up.
        return outputs[:, : step.size[0], : step.size[1]]

    return layer
