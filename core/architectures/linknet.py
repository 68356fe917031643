"""LinkNet: a decoder whose blocks add the stages (arXiv 1707.03718).

As the segmentation libraries for Keras build it on a classification backbone.
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
    filters = spec.architecture.linknet_decoder_filters
    steps = keras.steps(
        features,
        len(filters),
        spec.architecture.linknet_skip_count,
        spec.options.output_stride,
        image_size,
    )
    outputs = features.output
    with keras.arg_scope(spec, mode), tf.variable_scope(keras.SCOPE):
        for number, (step, width) in enumerate(zip(steps, filters)):
            outputs = _block(outputs, step, width, spec.architecture, f"decoder_stage{number}")
    return Outputs.of(keras.classify(outputs, channels, mode))


def _block(inputs, step, filters, options, name):
    """Narrows features to a quarter, enlarges them, widens them to a stage's and adds it."""
    use_batch_norm = options.linknet_decoder_use_batch_norm
    narrow = inputs.shape.as_list()[3] // 4
    if step.skip is not None:
        filters = step.skip.shape.as_list()[3]

    def convolve(features, width, size, number, **settings):
        settings = {"scope": f"{name}_conv{number}", **settings}
        return keras.convolve(
            features, width, size, use_batch_norm, norm_scope=f"{name}_bn{number}", **settings
        )

    outputs = convolve(inputs, narrow, 1, 1)
    if options.linknet_decoder_block_type == "transpose":
        # The original's transposed convolutions have biases beside batch norm.
        settings = {"layer": keras.transpose(step), "keeps_biases": True}
        outputs = convolve(outputs, narrow, 3, 2, scope=f"{name}_upsample2", **settings)
    else:
        outputs = convolve(keras.enlarge(outputs, step.size), narrow, 3, 2)
    outputs = convolve(outputs, filters, 1, 3)
    return outputs if step.skip is None else outputs + step.skip


VARIANTS = {
    "linknet": Architecture(
        build=build,
        logits_stride=lambda spec: keras.stride_after(
            len(spec.architecture.linknet_decoder_filters), spec.options.output_stride
        ),
        head_scopes=(f"{keras.SCOPE}/",),
        classifier=keras.CLASSIFIER,
        decoder_scopes=(f"{keras.SCOPE}/",),
        strides=keras.STRIDES,
    )
}
