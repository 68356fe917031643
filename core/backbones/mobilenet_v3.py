"""MobileNetV3 large and small with halved last blocks, the segmentation variants of DeepLab.

Source: arXiv 1905.02244, tables 1 and 2, and section 6.4 for the halving.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import MIDDLE_GREY, Backbone, Features, mobilenet_v2, scale_to_unit_range
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf
from utils.errors import OptionError

_SCOPE = "MobilenetV3"
_BATCH_NORM_DECAY = 0.997
_BATCH_NORM_EPSILON = 1e-3
_WEIGHTS_STDDEV = 0.09
_STEM_CHANNELS = 16
# Every number of channels is a multiple of this, at least this.
_DIVISOR = 8
# Channels over those that squeeze-and-excitation squeezes them to.
_SQUEEZE_FACTOR = 4


def hard_swish(inputs: tf.Tensor) -> tf.Tensor:
    """Returns float32 inputs of any shape times a piecewise linear sigmoid of them."""
    return inputs * tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


@dataclasses.dataclass(frozen=True)
class _Block:
    """An inverted residual block.

    Attributes:
      channels: Output channels.
      expansion: Expanded over input channels.
      kernel_size: Of the depthwise convolution.
      stride: Of the depthwise convolution.
      excites: Whether the expanded channels are scaled by squeeze-and-excitation.
      swishes: Whether hard-swish activates, else ReLU.
    """

    channels: int
    expansion: float
    kernel_size: int = 3
    stride: int = 1
    excites: bool = False
    swishes: bool = False


@dataclasses.dataclass(frozen=True)
class _Network:
    """What differs between the large and the small network.

    Attributes:
      blocks: The blocks after the stem.
      channels: Output channels of the last, 1x1 convolution.
      decoder_blocks: Number of the block whose expanded, depthwise filtered features a decoder
        takes, by stride.
      stage_channels: Channels of the stages, by stride.
    """

    blocks: tuple[_Block, ...]
    channels: int
    decoder_blocks: dict[int, int]
    stage_channels: dict[int, int]


_LARGE = _Network(
    blocks=(
        _Block(16, 1),
        _Block(24, 4, stride=2),
        _Block(24, 3),
        _Block(40, 3, kernel_size=5, stride=2, excites=True),
        _Block(40, 3, kernel_size=5, excites=True),
        _Block(40, 3, kernel_size=5, excites=True),
        _Block(80, 6, stride=2, swishes=True),
        _Block(80, 2.5, swishes=True),
        _Block(80, 2.3, swishes=True),
        _Block(80, 2.3, swishes=True),
        _Block(112, 6, excites=True, swishes=True),
        _Block(112, 6, excites=True, swishes=True),
        _Block(80, 3, kernel_size=5, stride=2, excites=True, swishes=True),
        _Block(80, 6, kernel_size=5, excites=True, swishes=True),
        _Block(80, 6, kernel_size=5, excites=True, swishes=True),
    ),
    channels=480,
    decoder_blocks={4: 2, 8: 5, 16: 11},
    stage_channels={2: 16, 4: 24, 8: 40, 16: 112, 32: 480},
)
_SMALL = _Network(
    blocks=(
        _Block(16, 1, stride=2, excites=True),
        _Block(24, 4.5, stride=2),
        _Block(24, 88 / 24),
        _Block(40, 4, kernel_size=5, stride=2, excites=True, swishes=True),
        _Block(40, 6, kernel_size=5, excites=True, swishes=True),
        _Block(40, 6, kernel_size=5, excites=True, swishes=True),
        _Block(48, 3, kernel_size=5, excites=True, swishes=True),
        _Block(48, 3, kernel_size=5, excites=True, swishes=True),
        _Block(48, 3, kernel_size=5, stride=2, excites=True, swishes=True),
        _Block(48, 6, kernel_size=5, excites=True, swishes=True),
        _Block(48, 6, kernel_size=5, excites=True, swishes=True),
    ),
    channels=288,
    decoder_blocks={4: 0, 8: 2, 16: 7},
    stage_channels={2: 16, 4: 16, 8: 24, 16: 48, 32: 288},
)


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    network: _Network,
) -> Features:
    """Builds the network up to its 1x1 convolution after the blocks.

    Args:
      images: float32 [N, h, w, 3] in [-1, 1].
      options: The network; output stride and depth multiplier are used.
      mode: What the graph is for.
      network: Large or small.
    """
    scaled = functools.partial(_scaled, multiplier=options.depth_multiplier)
    stages, filtered, full_stride = {}, {}, mobilenet_v2.STEM_STRIDE
    with tf.variable_scope(_SCOPE), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        epsilon=_BATCH_NORM_EPSILON,
        activation_fn=hard_swish,
        weights_initializer=tf.truncated_normal_initializer(stddev=_WEIGHTS_STDDEV),
    ):
        # [N, h / 2, w / 2, 16]
        outputs = layers.conv2d(images, scaled(_STEM_CHANNELS), 3, full_stride, scope="Conv")
        stages[full_stride] = outputs
        strides = mobilenet_v2.placements(network.blocks, options.output_stride)
        for number, (block, (stride, rate)) in enumerate(zip(network.blocks, strides)):
            with tf.variable_scope(mobilenet_v2.block_name(number)):
                outputs, filtered[number] = recompute.unit(
                    _inverted_residual,
                    outputs,
                    block,
                    scaled(block.channels),
                    stride,
                    rate,
                    recompute=mode.recompute,
                )
            full_stride *= block.stride
            stages[full_stride] = outputs
        outputs = layers.conv2d(outputs, scaled(network.channels), 1, scope="Conv_1")
        stages[full_stride] = outputs
    low_level = {
        stride: filtered[number]
        for stride, number in network.decoder_blocks.items()
        if stride < options.output_stride
    }
    return Features(outputs, stages, low_level)


def _inverted_residual(inputs, block, channels, stride, rate):
    """Expands, filters each channel, excites, projects; adds the input where shapes agree.

    Returns:
      The block's output and the filtered expanded features, before excitation.
    """
    activation = hard_swish if block.swishes else tf.nn.relu
    input_channels = inputs.shape.as_list()[-1]
    expanded_channels = _scaled(input_channels, block.expansion)
    expanded = inputs
    if expanded_channels > input_channels:
        expanded = layers.conv2d(
            inputs, expanded_channels, 1, activation_fn=activation, scope="expand"
        )
    filtered = layers.depthwise_conv2d(
        expanded, block.kernel_size, stride, rate, activation_fn=activation, scope="depthwise"
    )
    excited = _squeeze_and_excite(filtered) if block.excites else filtered
    outputs = layers.conv2d(excited, channels, 1, activation_fn=None, scope="project")
    # In the small network this differs between output strides, as in the reference: the block that
    # reaches stride 32 keeps its number of channels, so once it is atrous its input is added.
    if stride == 1 and channels == input_channels:
        outputs += inputs
    return tf.identity(outputs, "output"), filtered


def _squeeze_and_excite(inputs):
    """Scales each channel by a gate that is computed from the mean over the image."""
    channels = inputs.shape.as_list()[-1]
    with tf.variable_scope("squeeze_excite"):
        squeezed = layers.conv2d(
            _image_mean(inputs),
            _scaled(channels, 1 / _SQUEEZE_FACTOR),
            1,
            activation_fn=tf.nn.relu,
            normalizer_fn=None,
            scope="Conv",
        )
        gates = layers.conv2d(
            squeezed,
            channels,
            1,
            activation_fn=layers.quantized_sigmoid,
            normalizer_fn=None,
            scope="Conv_1",
        )
        return inputs * gates


def _image_mean(inputs):
    return tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)


def _scaled(channels: int, multiplier: float) -> int:
    return mobilenet_v2.make_divisible(channels * multiplier, _DIVISOR, _DIVISOR)


def _check_divisor(options):
    if options.divisible_by not in (None, _DIVISOR):
        raise OptionError(
            f"--divisible_by={options.divisible_by} cannot have an effect: the channels of "
            f"{options.model_variant} are always multiples of {_DIVISOR}; leave the flag out."
        )


VARIANTS = {
    name: Backbone(
        scope=_SCOPE,
        build=functools.partial(build, network=network),
        normalize=scale_to_unit_range,
        pad_color=MIDDLE_GREY,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels=network.stage_channels,
        low_level_strides=tuple(network.decoder_blocks),
        takes=frozenset(["depth_multiplier", "divisible_by"]),
        check=_check_divisor,
    )
    for name, network in (
        ("mobilenet_v3_large_seg", _LARGE),
        ("mobilenet_v3_small_seg", _SMALL),
    )
}
