"""FC-HarDNet: a decoder of harmonic dense blocks that mirrors a HarDNet.

Source: arXiv 1909.00948 and the segmentation network published with it. The scopes are the names of
the original's modules.
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.backbones import Features, either, hardnet
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

_CLASSIFIER = "finalConv"
_SCOPES = ("conv1x1_up/", "denseBlocksUp/")
_NAME = "fc_hardnet"
# The stem rounds sizes up by that much at most: 61 pixels give 16 at stride 4.
_LOST = 3


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

    Features are resized to those of the backbone's block before, joined with them, halved in width
    by a 1x1 layer, and go through a block like the one that they were joined with.
    """
    del image_size, crop_size
    network = _network(spec)
    outputs = features.output
    skips = list(zip(network.strides, network.blocks))[:-1]
    with hardnet.arg_scope(mode, spec.options.batch_norm_decay):
        for number, (stride, block) in enumerate(reversed(skips)):
            outputs = _joined(outputs, features.stages[stride], f"transUpBlocks/{number}")
            half = outputs.shape.as_list()[3] // 2
            outputs = hardnet.layer(outputs, half, 1, scope=f"conv1x1_up/{number}")
            outputs = hardnet.dense_block(outputs, block, f"denseBlocksUp/{number}")
    return Outputs.of(
        layers.conv2d(
            outputs,
            channels,
            1,
            activation_fn=None,
            weights_initializer=hardnet.initializer(),
            mode=mode,
            scope=_CLASSIFIER,
        )
    )


def _joined(inputs, skip, scope):
    """Returns features in the size of a skip, and the skip after them."""
    with tf.variable_scope(scope):
        resized = layers.resize_bilinear(inputs, layers.spatial_size(skip), align_corners=True)
        return tf.concat([resized, skip], 3)


def _network(spec) -> hardnet.Network:
    return hardnet.NETWORKS[spec.options.model_variant]


def check(spec: NetworkSpec, backbone, *, image_size, channels):
    """Raises OptionError for another backbone, and for images of which pooling leaves nothing."""
    del channels
    if _NAME not in backbone.architectures:
        raise OptionError(
            f"--architecture={_NAME} mirrors the blocks of a HarDNet, so --model_variant must be "
            f"{either(hardnet.NETWORKS)}, not {spec.options.model_variant}."
        )
    smallest = _network(spec).strides[-1] - _LOST
    if image_size is not None and min(image_size) < smallest:
        raise OptionError(
            f"images of {image_size[0]}x{image_size[1]} are too small for "
            f"{spec.options.model_variant}: each side must be at least {smallest}."
        )


VARIANTS = {
    _NAME: Architecture(
        build=build,
        logits_stride=lambda spec: 4,
        head_scopes=_SCOPES,
        classifier=_CLASSIFIER,
        decoder_scopes=_SCOPES,
        check=check,
        align_corners=True,
    )
}
