"""FPN: a pyramid of features from the coarsest stage down, whose levels are joined.

Source: "Panoptic feature pyramid networks" (arXiv 1901.02446), as the segmentation libraries for
Keras build it: ReLU after each lateral convolution, and levels joined by concatenation.
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.architectures import keras_decoders as keras
from core.backbones import Features
from options.network import NetworkSpec
from utils.compat import tf

# Strides of the levels below the backbone's output.
_STRIDES = (16, 8, 4)


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds the pyramid and its head; see `Architecture.build`.

    Stages of any size fit, since features are resized to them.
    """
    del crop_size
    options = spec.architecture
    with keras.arg_scope(spec, mode), tf.variable_scope(keras.SCOPE):
        levels = _levels(features, options)
        outputs = tf.concat(_joinable(levels[::-1], options.fpn_final_interpolation), 3)
        outputs = _convolve(outputs, outputs.shape.as_list()[3], 3, options, "conv_block")
    if options.fpn_pyramid_dropout:
        outputs = layers.spatial_dropout(outputs, 1.0 - options.fpn_pyramid_dropout, mode)
    logits = keras.classify(outputs, channels, mode)
    return Outputs.of(keras.resize(logits, image_size, options.fpn_final_interpolation))


def _levels(features, options) -> list:
    """Returns the levels from coarse to fine, each convolved twice."""
    width = options.fpn_pyramid_block_filters
    levels, above = [], None
    stages = [features.output, *(features.stages[stride] for stride in _STRIDES)]
    for number, stage in enumerate(stages):
        level = _convolve(stage, width, 1, options, f"pyramid_stage_{number}")
        if above is not None:
            level += keras.enlarge(above, layers.spatial_size(level))
        above = level
        for part in ("segm1", "segm2"):
            level = _convolve(level, width // 2, 3, options, f"{part}_stage_{number}")
        levels.append(level)
    return levels


def _joinable(levels, interpolation) -> list:
    """Returns levels in the size of the first."""
    size = layers.spatial_size(levels[0])
    return [levels[0], *(keras.resize(level, size, interpolation) for level in levels[1:])]


def _convolve(inputs, filters, kernel_size, options, name):
    return keras.convolve(
        inputs,
        filters,
        kernel_size,
        options.fpn_pyramid_use_batch_norm,
        scope=f"{name}_conv",
        norm_scope=f"{name}_bn",
    )


VARIANTS = {
    "fpn": Architecture(
        build=build,
        logits_stride=lambda spec: 1,
        head_scopes=(f"{keras.SCOPE}/",),
        classifier=keras.CLASSIFIER,
        decoder_scopes=(f"{keras.SCOPE}/",),
        strides=_STRIDES,
        align_corners=True,
    )
}
