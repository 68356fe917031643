"""PSPNet: features beside their means over parts of the image (arXiv 1612.01105).

As the segmentation libraries for Keras build it: on the features of one stride, with logits that
are enlarged, or rearranged from many channels (dense upsampling convolution, arXiv 1702.08502).
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.architectures import keras_decoders as keras
from core.backbones import Backbone, Features, either
from options.architectures.pspnet import FACTORS
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

# The image is divided into so many parts, down and across.
_LEVELS = (1, 2, 3, 6)
_OUTPUT_CHANNELS = 512


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds the pyramid pooling and the logits; see `Architecture.build`.

    The sides of images are multiples of six times the downsampling factor.
    """
    del crop_size
    options = spec.architecture
    inputs = features.stages[options.pspnet_downsample_factor]
    with keras.arg_scope(spec, mode):
        with tf.variable_scope(keras.SCOPE):
            levels = [_level(inputs, level, options) for level in _LEVELS]
            outputs = tf.concat([inputs, *levels], 3)
            outputs = _convolve(outputs, _OUTPUT_CHANNELS, options, "conv_block")
        if options.pspnet_dropout:
            outputs = layers.spatial_dropout(outputs, 1.0 - options.pspnet_dropout, mode)
        logits = keras.classify(outputs, channels, mode)
        if options.pspnet_final_interpolation == "duc":
            logits = _dense_upsampling(logits, channels, options.pspnet_downsample_factor)
        else:
            logits = keras.resize(logits, image_size, options.pspnet_final_interpolation)
    return Outputs.of(logits)


def _level(inputs, level, options):
    """Returns the features of parts of the image, at the size of the inputs."""
    size = layers.spatial_size(inputs)
    outputs = _pool(inputs, [side // level for side in size], options.pspnet_pooling_type)
    outputs = _convolve(outputs, options.pspnet_conv_filters, options, f"level{level}")
    return layers.resize_bilinear(outputs, size, align_corners=True)


def _pool(inputs, window, kind):
    """Returns the mean or maximum of windows that do not overlap."""
    if not any(isinstance(side, tf.Tensor) for side in window):
        pool = layers.max_pool if kind == "max" else layers.average_pool
        return pool(inputs, window, window, "VALID")
    # Windows of unknown size are dimensions of their own.
    size, channels = layers.spatial_size(inputs), inputs.shape.as_list()[3]
    shape = [-1, size[0] // window[0], window[0], size[1] // window[1], window[1], channels]
    reduce = tf.reduce_max if kind == "max" else tf.reduce_mean
    return reduce(tf.reshape(inputs, shape), [2, 4])


def _convolve(inputs, filters, options, name):
    return keras.convolve(
        inputs,
        filters,
        1,
        options.pspnet_use_batch_norm,
        scope=f"{name}_conv",
        norm_scope=f"{name}_bn",
    )


def _dense_upsampling(logits, channels, factor):
    """Returns logits whose channels have become the pixels of factor x factor blocks."""
    name = f"{_logits_scope()}/duc_{factor}"
    outputs = keras.convolve(
        logits,
        channels * factor**2,
        1,
        True,
        scope=f"{name}_conv",
        norm_scope=f"{name}_bn",
    )
    # Two transpositions of four dimensions: TFLite of TensorFlow 1.15 has no larger ones.
    height, width = layers.spatial_size(outputs)
    pixels = tf.transpose(tf.reshape(outputs, [-1, channels, factor, factor]), [0, 2, 3, 1])
    rows = tf.reshape(pixels, [-1, width, factor, factor * channels])
    rows = tf.transpose(rows, [0, 2, 1, 3])
    return tf.reshape(rows, [-1, height * factor, width * factor, channels])


def _logits_scope() -> str:
    return keras.CLASSIFIER.split("/")[0]


def check(spec: NetworkSpec, backbone: Backbone, *, image_size, channels):
    """Raises OptionError for a stride or image that it cannot take."""
    del channels
    factor = spec.architecture.pspnet_downsample_factor
    if factor not in backbone.channels or factor > spec.options.output_stride:
        possible = [
            value
            for value in FACTORS
            if value in backbone.channels and value <= spec.options.output_stride
        ]
        raise OptionError(
            f"--pspnet_downsample_factor is {factor}, but {spec.options.model_variant} at "
            f"--output_stride={spec.options.output_stride} has features of stride "
            f"{either(possible)}."
        )
    step = 6 * factor
    if image_size is not None and any(side % step for side in image_size):
        nearest = [_multiples(side, step) for side in image_size]
        raise OptionError(
            f"PSPNet with --pspnet_downsample_factor={factor} takes images whose sides are "
            f"multiples of {step}, not {image_size[0]}x{image_size[1]}; the nearest are "
            f"{nearest[0][0]}x{nearest[1][0]} and {nearest[0][1]}x{nearest[1][1]}."
        )


def _multiples(side, step) -> tuple[int, int]:
    """Returns the multiples of a step below and above a side."""
    below = max(side // step, 1) * step
    return below, below if side <= below else below + step


VARIANTS = {
    "pspnet": Architecture(
        build=build,
        logits_stride=lambda spec: 1,
        head_scopes=(f"{keras.SCOPE}/",),
        classifier=keras.CLASSIFIER,
        auxiliary_classifiers=tuple(
            f"{_logits_scope()}/duc_{factor}_{part}"
            for factor in FACTORS
            for part in ("conv", "bn")
        ),
        decoder_scopes=(f"{keras.SCOPE}/",),
        check=check,
        align_corners=True,
    )
}
