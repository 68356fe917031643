"""U-Net: a decoder that doubles the size of features step by step, each time joined by a stage.

Source: arXiv 1505.04597, on a classification backbone, with the decoder that the segmentation
libraries for Keras have: nearest upsampling and two 3x3 convolutions a block.
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.backbones import Features
from options.network import NetworkSpec
from utils.compat import slim, tf

_SCOPE = "decoder"
_CLASSIFIER = "logits/semantic"
# Strides of the stages that join the blocks; the last block has none.
_STRIDES = (16, 8, 4, 2)
_BATCH_NORM_EPSILON = 1e-3


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

    Blocks are the same at every output stride: where a stage has the size of what it joins, nothing
    is enlarged. Stages of any size fit, since features are resized to them.
    """
    del crop_size
    initializer = tf.variance_scaling_initializer(2.0, "fan_in", "uniform")
    with layers.arg_scope(
        mode,
        decay=spec.options.batch_norm_decay,
        epsilon=_BATCH_NORM_EPSILON,
        weights_initializer=initializer,
    ), _without_batch_norm(spec.architecture), tf.variable_scope(_SCOPE):
        outputs = features.output
        skips = [features.stages[stride] for stride in _STRIDES]
        filters = spec.architecture.unet_decoder_filters
        for number, (skip, width) in enumerate(zip([*skips, None], filters), 1):
            with tf.variable_scope(f"block{number}"):
                outputs = _block(outputs, skip, width, image_size)
    return Outputs.of(
        layers.conv2d(outputs, channels, 3, activation_fn=None, mode=mode, scope=_CLASSIFIER)
    )


def _without_batch_norm(options):
    """Returns the arg scope of a decoder whose convolutions may have biases instead."""
    changes = {} if options.unet_decoder_use_batch_norm else {"normalizer_fn": None}
    return slim.arg_scope([layers.conv2d], **changes)


def _block(inputs, skip, filters, image_size):
    """Enlarges features to the size of a stage, or of the image, joins them and convolves twice."""
    size = image_size if skip is None else layers.spatial_size(skip)
    outputs = layers.resize_nearest(inputs, size, align_corners=False)
    if skip is not None:
        outputs = tf.concat([outputs, skip], 3)
    for number in (1, 2):
        outputs = layers.conv2d(outputs, filters, 3, scope=f"conv{number}")
    return outputs


VARIANTS = {
    "unet": Architecture(
        build=build,
        logits_stride=lambda spec: 1,
        head_scopes=(f"{_SCOPE}/",),
        classifier=_CLASSIFIER,
        decoder_scopes=(f"{_SCOPE}/",),
        strides=_STRIDES,
    )
}
