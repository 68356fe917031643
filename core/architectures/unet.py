"""U-Net: a decoder that doubles the size of features step by step, each time joined by a stage.

Source: arXiv 1505.04597, on a classification backbone, with the decoder that the segmentation
libraries for Keras have: nearest upsampling and two 3x3 convolutions a block, or a transposed
convolution and one.
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.architectures import keras_decoders as keras
from core.backbones import Features
from options.network import NetworkSpec
from utils.compat import tf


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds the decoder; see `Architecture.build`.

    Stages of any size fit, since features are resized to them.
    """
    del crop_size
    options = spec.architecture
    filters = options.unet_decoder_filters
    steps = keras.steps(
        features,
        len(filters),
        options.unet_skip_count,
        spec.options.output_stride,
        image_size,
    )
    block = {"upsampling": _upsampling, "transpose": _transpose}[options.unet_decoder_block_type]
    outputs = features.output
    with keras.arg_scope(spec, mode), tf.variable_scope(keras.SCOPE):
        for number, (step, width) in enumerate(zip(steps, filters)):
            name = f"decoder_stage{number}"
            outputs = block(outputs, step, width, options.unet_decoder_use_batch_norm, name)
    return Outputs.of(keras.classify(outputs, channels, mode))


def _upsampling(inputs, step, filters, use_batch_norm, name):
    """Repeats pixels, joins a stage and convolves twice."""
    outputs = _joined(keras.enlarge(inputs, step.size), step)
    for number in (1, 2):
        outputs = keras.convolve(
            outputs,
            filters,
            3,
            use_batch_norm,
            scope=f"{name}_conv{number}",
            norm_scope=f"{name}_bn{number}",
        )
    return outputs


def _transpose(inputs, step, filters, use_batch_norm, name):
    """Enlarges by a transposed convolution, joins a stage and convolves once."""
    outputs = keras.convolve(
        inputs,
        filters,
        4,
        use_batch_norm,
        scope=f"{name}_upsample",
        norm_scope=f"{name}_bn1",
        layer=keras.transpose(step),
    )
    return keras.convolve(
        _joined(outputs, step),
        filters,
        3,
        use_batch_norm,
        scope=f"{name}_conv2",
        norm_scope=f"{name}_bn2",
    )


def _joined(features, step):
    return features if step.skip is None else tf.concat([features, step.skip], 3)


VARIANTS = {
    "unet": Architecture(
        build=build,
        logits_stride=lambda spec: keras.stride_after(
            len(spec.architecture.unet_decoder_filters), spec.options.output_stride
        ),
        head_scopes=(f"{keras.SCOPE}/",),
        classifier=keras.CLASSIFIER,
        decoder_scopes=(f"{keras.SCOPE}/",),
        strides=keras.STRIDES,
    )
}
