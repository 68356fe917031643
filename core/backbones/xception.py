"""Xception with 41, 65 and 71 layers, as DeepLab uses it (arXiv 1610.02357, 1802.02611).

Strided separable convolutions stand where the paper has max pooling, so that every stride can
become an atrous rate. Strides past the output stride do; `multi_grid` multiplies the rates of the
last block's three convolutions.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import (
    MIDDLE_GREY,
    Backbone,
    Features,
    check_multi_grid,
    scale_to_unit_range,
)
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_BATCH_NORM_DECAY = 0.9997
_BATCH_NORM_EPSILON = 1e-3
_WEIGHTS_STDDEV = 0.09
# Bounded networks keep what is not activated within [-6, 6], to suit ReLU6 and quantisation.
_BOUND = 6.0

_KERNEL_SIZE = 3
# Stride after the stem.
_STEM_STRIDE = 2
# Low-level features are taken where they are about to lose this stride.
_LOW_LEVEL_STRIDES = (4, 8, 16)

# How a unit's input is added to its output.
CONVOLVED, IDENTITY, NONE = "convolved", "identity", "none"


@dataclasses.dataclass(frozen=True)
class Block:
    """Equal units of three separable convolutions.

    Attributes:
      scope: Its scope within the network's.
      channels: Output channels of the three convolutions.
      stride: Stride of the third.
      units: Number of units; only blocks without stride have several.
      shortcut: How the input is added. Without one, activations follow each depthwise and each
        pointwise convolution; else they precede each separable convolution.
    """

    scope: str
    channels: tuple[int, int, int]
    stride: int = 2
    units: int = 1
    shortcut: str = CONVOLVED


_ENTRY_FLOW = (
    Block("entry_flow/block1", (128, 128, 128)),
    Block("entry_flow/block2", (256, 256, 256)),
    Block("entry_flow/block3", (728, 728, 728)),
)
_LONG_ENTRY_FLOW = (
    Block("entry_flow/block1", (128, 128, 128)),
    Block("entry_flow/block2", (256, 256, 256), stride=1),
    Block("entry_flow/block3", (256, 256, 256)),
    Block("entry_flow/block4", (728, 728, 728), stride=1),
    Block("entry_flow/block5", (728, 728, 728)),
)
_EXIT_FLOW = (
    Block("exit_flow/block1", (728, 1024, 1024)),
    Block("exit_flow/block2", (1536, 1536, 2048), stride=1, shortcut=NONE),
)

# Stride -> channels of the networks with the short entry flow.
CHANNELS = {2: 64, 4: 128, 8: 256, 16: 728, 32: 2048}


def _network(entry_flow, middle_units):
    middle = Block("middle_flow/block1", (728, 728, 728), 1, middle_units, IDENTITY)
    return (*entry_flow, middle, *_EXIT_FLOW)


BLOCKS_65 = _network(_ENTRY_FLOW, 16)


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    scope: str,
    blocks: tuple[Block, ...],
) -> Features:
    """Builds an Xception up to the last block of its exit flow.

    Args:
      images: float32 [N, h, w, 3] in [-1, 1].
      options: The network; output stride, multi-grid and bounded activation are used.
      mode: What the graph is for.
      scope: Variable scope.
      blocks: The blocks after the stem.
    """
    with tf.variable_scope(scope), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        epsilon=_BATCH_NORM_EPSILON,
        activation_fn=_activation(options.use_bounded_activation),
        weights_initializer=tf.truncated_normal_initializer(stddev=_WEIGHTS_STDDEV),
    ):
        with tf.variable_scope("entry_flow"):
            # [N, h / 2, w / 2, 64]
            outputs = layers.conv2d_same(images, 32, _KERNEL_SIZE, _STEM_STRIDE, scope="conv1_1")
            outputs = layers.conv2d_same(outputs, 64, _KERNEL_SIZE, scope="conv1_2")
        return _blocks(outputs, blocks, options, mode)


def _blocks(outputs, blocks, options, mode):
    reached, rate = _STEM_STRIDE, 1
    stages, low_level, full_stride = {_STEM_STRIDE: outputs}, {}, _STEM_STRIDE
    for block in blocks:
        atrous = reached == options.output_stride
        stride = 1 if atrous else block.stride
        grid = options.multi_grid if block.shortcut == NONE and options.multi_grid else (1, 1, 1)
        rates = [rate * factor for factor in grid]
        with tf.variable_scope(block.scope):
            for unit in range(1, block.units + 1):
                with tf.variable_scope(f"unit_{unit}/xception_module"):
                    outputs, second = recompute.unit(
                        _unit,
                        outputs,
                        block,
                        stride,
                        rates,
                        options.use_bounded_activation,
                        recompute=mode.recompute,
                    )
        if stride > 1 and reached in _LOW_LEVEL_STRIDES:
            low_level[reached] = second
        full_stride *= block.stride
        stages[full_stride] = outputs
        rate, reached = (rate * block.stride, reached) if atrous else (rate, reached * stride)
    return Features(outputs, stages, low_level)


def _unit(inputs, block, stride, rates, bounded):
    """Returns a unit's output and that of its second convolution, before the stride."""
    strides = (1, 1, stride)
    convolved = [inputs]
    for index, (channels, step, rate) in enumerate(zip(block.channels, strides, rates), 1):
        convolve = _separable_conv2d if block.shortcut == NONE else _preactivated_conv2d
        scope = f"separable_conv{index}"
        convolved.append(convolve(convolved[-1], channels, step, rate, bounded, scope=scope))
    residual, second = convolved[3], convolved[2]
    if block.shortcut == NONE:
        return residual, second
    shortcut = inputs
    if block.shortcut == CONVOLVED:
        shortcut = layers.conv2d(
            inputs, block.channels[-1], 1, stride, activation_fn=None, scope="shortcut"
        )
    if bounded:
        return tf.nn.relu6(_clip(residual) + _clip(shortcut)), second
    return residual + shortcut, second


def _preactivated_conv2d(inputs, channels, stride, rate, bounded, *, scope):
    """Activates, then convolves depthwise and pointwise without further activation."""
    return _separable_conv2d(
        _activation(bounded)(inputs),
        channels,
        stride,
        rate,
        bounded,
        activation_fn=_clip if bounded else None,
        scope=scope,
    )


def _separable_conv2d(inputs, channels, stride, rate, bounded, *, scope, **settings):
    """Convolves depthwise and pointwise, each with batch norm and the activation in `settings`."""
    padding = "SAME"
    # Padding that does not depend on the input's size, as in `layers.conv2d_same`; the family's
    # bounded networks alone were trained without it.
    if stride > 1 and not bounded:
        side = [_KERNEL_SIZE // 2, _KERNEL_SIZE // 2]
        inputs = tf.pad(inputs, [[0, 0], side, side, [0, 0]])
        padding = "VALID"
    outputs = layers.depthwise_conv2d(
        inputs,
        _KERNEL_SIZE,
        stride,
        rate,
        padding=padding,
        scope=scope + "_depthwise",
        **settings,
    )
    return layers.conv2d(outputs, channels, 1, scope=scope + "_pointwise", **settings)


def _activation(bounded):
    return tf.nn.relu6 if bounded else tf.nn.relu


def _clip(inputs):
    return tf.clip_by_value(inputs, -_BOUND, _BOUND)


VARIANTS = {
    scope: Backbone(
        scope=scope,
        build=functools.partial(build, scope=scope, blocks=blocks),
        normalize=scale_to_unit_range,
        pad_color=MIDDLE_GREY,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels=channels,
        low_level_strides=_LOW_LEVEL_STRIDES,
        takes=frozenset(["multi_grid", "use_bounded_activation"]),
        check=functools.partial(check_multi_grid, units=3),
    )
    for scope, blocks, channels in (
        ("xception_41", _network(_ENTRY_FLOW, 8), CHANNELS),
        ("xception_65", BLOCKS_65, CHANNELS),
        ("xception_71", _network(_LONG_ENTRY_FLOW, 16), {**CHANNELS, 4: 256, 8: 728}),
    )
}
