"""MobileNetV2 (arXiv 1801.04381) without its last 1x1 convolution, as DeepLab uses it."""

from __future__ import annotations

import dataclasses

from core import layers
from core.backbones import MIDDLE_GREY, Backbone, Features, scale_to_unit_range
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "MobilenetV2"
_BATCH_NORM_DECAY = 0.997
_BATCH_NORM_EPSILON = 1e-3
_WEIGHTS_STDDEV = 0.09


@dataclasses.dataclass(frozen=True)
class _Block:
    """An inverted residual block: channels it gives, its stride, and its expansion factor."""

    channels: int
    stride: int = 1
    expansion: int = 6


_STEM_CHANNELS = 32
STEM_STRIDE = 2
# Table 2 of the paper, one entry per block.
BLOCKS = (
    _Block(16, expansion=1),
    _Block(24, stride=2),
    _Block(24),
    _Block(32, stride=2),
    _Block(32),
    _Block(32),
    _Block(64, stride=2),
    _Block(64),
    _Block(64),
    _Block(64),
    _Block(96),
    _Block(96),
    _Block(96),
    _Block(160, stride=2),
    _Block(160),
    _Block(160),
    _Block(320),
)
# Number of the block whose expanded, depthwise filtered features a decoder takes, by stride.
_DECODER_BLOCKS = {4: 2, 8: 5, 16: 12}


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network up to its last inverted residual block.

    Args:
      images: float32 [N, h, w, 3] in [-1, 1].
      options: The network; output stride, depth multiplier and divisor of channels are used.
      mode: What the graph is for.
    """
    stages, depthwise_outputs, full_stride = {}, {}, STEM_STRIDE
    with tf.variable_scope(_SCOPE), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        epsilon=_BATCH_NORM_EPSILON,
        activation_fn=tf.nn.relu6,
        weights_initializer=tf.truncated_normal_initializer(stddev=_WEIGHTS_STDDEV),
    ):
        # [N, h / 2, w / 2, 32]
        net = layers.conv2d(images, _scaled(_STEM_CHANNELS, options), 3, STEM_STRIDE, scope="Conv")
        strides = placements(BLOCKS, options.output_stride)
        for number, (block, (stride, rate)) in enumerate(zip(BLOCKS, strides)):
            channels = _scaled(block.channels, options)
            net, depthwise_outputs[number] = recompute.unit(
                _inverted_residual,
                net,
                channels,
                block.expansion,
                stride,
                rate,
                block_name(number),
                recompute=mode.recompute,
            )
            full_stride *= block.stride
            stages[full_stride] = net
    low_level = {
        stride: depthwise_outputs[number]
        for stride, number in _DECODER_BLOCKS.items()
        if stride < options.output_stride
    }
    return Features(net, stages, low_level)


def block_name(number: int) -> str:
    """Returns the scope of a block, counted from 0."""
    return f"expanded_conv_{number}" if number else "expanded_conv"


def placements(blocks, output_stride: int) -> list:
    """Returns (stride, atrous rate) of each block after a stem of stride 2.

    A block whose stride would exceed the output stride gets stride 1; the blocks after it, not
    itself, get its stride as a rate.
    """
    placed = []
    reached, rate = STEM_STRIDE, 1
    for block in blocks:
        if reached < output_stride:
            placed.append((block.stride, 1))
            reached *= block.stride
        else:
            placed.append((1, rate))
            rate *= block.stride
    return placed


def _inverted_residual(net, channels, expansion, stride, rate, scope):
    """Expands, filters each channel, projects; adds the input where shapes agree.

    Returns:
      The block's output and the filtered expanded features.
    """
    inputs, input_channels = net, net.shape.as_list()[-1]
    with tf.variable_scope(scope):
        if expansion > 1:
            # Always multiples of 8, whatever divides the other channels.
            expanded = make_divisible(input_channels * expansion, 8, 8)
            net = layers.conv2d(net, expanded, 1, scope="expand")
        filtered = layers.depthwise_conv2d(net, 3, stride=stride, rate=rate, scope="depthwise")
        net = layers.conv2d(filtered, channels, 1, activation_fn=None, scope="project")
        if stride == 1 and channels == input_channels:
            net += inputs
        return tf.identity(net, "output"), filtered


def _scaled(channels: int, options: NetworkOptions) -> int:
    full_width = options.depth_multiplier == 1.0
    divisor = options.divisible_by or (8 if full_width else 1)
    return make_divisible(channels * options.depth_multiplier, divisor, 8 if full_width else 1)


def make_divisible(channels: float, divisor: int, minimum: int) -> int:
    """Rounds to the nearest multiple of the divisor that is not more than a tenth too small.

    Args:
      channels: The wanted number of channels.
      divisor: What the result is a multiple of, unless the minimum is larger.
      minimum: The smallest result.
    """
    rounded = max(minimum, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


VARIANTS = {
    "mobilenet_v2": Backbone(
        scope=_SCOPE,
        build=build,
        normalize=scale_to_unit_range,
        pad_color=MIDDLE_GREY,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels={2: 16, 4: 24, 8: 32, 16: 96, 32: 320},
        low_level_strides=tuple(_DECODER_BLOCKS),
        takes=frozenset(["depth_multiplier", "divisible_by"]),
    )
}
