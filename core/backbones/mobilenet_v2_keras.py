"""MobileNetV2 of `tf.keras.applications` (arXiv 1801.04381), under Keras' names of layers.

Its stages are those that the segmentation libraries for Keras take: the expanded features of the
block that is about to lose the stride. DeepLab of these libraries has the same network without its
last convolution, which ends in `block_16_project_BN`.
"""

from __future__ import annotations

import functools

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, keras
from core.backbones.mobilenet_v2 import BLOCKS, STEM_STRIDE, make_divisible, placements
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "mobilenet_v2_keras"
_BATCH_NORM_DECAY, _BATCH_NORM_EPSILON = 0.999, 1e-3
_STEM_CHANNELS, _LAST_CHANNELS = 32, 1280
# Channels are multiples of this.
_DIVISOR = 8
# Block whose expanded features are a stage -> stride of the stage.
_STAGES = {1: 2, 3: 4, 6: 8, 13: 16}
LAST_BLOCK = "block_16_project_BN"

_convolve = functools.partial(keras.convolve, activation_fn=tf.nn.relu6)


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network up to its last 1x1 convolution; see `Backbone.build`."""
    with tf.variable_scope(_SCOPE), layers.arg_scope(
        mode, decay=_BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ):
        outputs = _convolve(
            images,
            _scaled(_STEM_CHANNELS, options),
            3,
            STEM_STRIDE,
            scope="Conv1",
            norm_scope="bn_Conv1",
        )
        stages = {}
        strides = placements(BLOCKS, options.output_stride)
        for number, (block, (stride, rate)) in enumerate(zip(BLOCKS, strides)):
            outputs, expanded = recompute.unit(
                _block,
                outputs,
                block,
                _scaled(block.channels, options),
                stride,
                rate,
                f"block_{number}" if number else "expanded_conv",
                recompute=mode.recompute,
            )
            if number in _STAGES:
                stages[_STAGES[number]] = expanded
        named = {LAST_BLOCK: (32, outputs)}
        # Wider networks have a wider end, narrower ones keep it.
        width = _scaled(_LAST_CHANNELS, options) if options.depth_multiplier > 1 else _LAST_CHANNELS
        stages[32] = _convolve(outputs, width, 1, scope="Conv_1", norm_scope="Conv_1_bn")
    return Features(stages[32], stages, keras.low_level(stages, options.output_stride), named)


def _block(inputs, block, channels, stride, rate, name):
    """Returns the output of an inverted residual block, and its expanded features."""
    expanded, input_channels = inputs, inputs.shape.as_list()[3]
    if block.expansion > 1:
        expanded = _convolve(inputs, input_channels * block.expansion, 1, scope=f"{name}_expand")
    outputs = _convolve(
        expanded, 3, stride, rate, convolution=layers.depthwise_conv2d, scope=f"{name}_depthwise"
    )
    outputs = _convolve(outputs, channels, 1, scope=f"{name}_project", activation_fn=None)
    if block.stride == 1 and channels == input_channels:
        outputs += inputs
    return outputs, expanded


def _scaled(channels: int, options: NetworkOptions) -> int:
    return make_divisible(channels * options.depth_multiplier, _DIVISOR, _DIVISOR)


VARIANTS = {
    _SCOPE: Backbone(
        scope=_SCOPE,
        build=build,
        **NORMALIZATIONS["tf"]._asdict(),
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels={2: 96, 4: 144, 8: 192, 16: 576, 32: _LAST_CHANNELS},
        low_level_strides=(4, 8, 16),
        named={LAST_BLOCK: (32, 320)},
        takes=frozenset(["depth_multiplier"]),
    )
}
