"""ResNet v1 with 18, 50 and 101 layers, as DeepLab uses it (arXiv 1512.03385, 1706.05587).

The stride of blocks 1 to 3 is in their last unit. Strides past the output stride become atrous
rates, and `multi_grid` multiplies the rates within block 4.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import IMAGENET_MEAN, Backbone, Features, check_multi_grid, subtract_mean
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_BATCH_NORM_DECAY = 0.95
_STEM_CHANNELS = 64
_LOW_LEVEL_STRIDES = (4, 8, 16)
# Strides after the stem, and after its pooling.
_STEM_STRIDE, _POOLED_STRIDE = 2, 4


@dataclasses.dataclass(frozen=True)
class Network:
    """What makes a ResNet.

    Attributes:
      scope: Variable scope.
      units: Number of units in each of the four blocks.
      is_bottleneck: Whether units are 1x1, 3x3, 1x1 convolutions (else two 3x3).
    """

    scope: str
    units: tuple[int, int, int, int]
    is_bottleneck: bool

    @property
    def channels(self) -> dict[int, int]:
        """Stride -> channels of the blocks."""
        factor = 4 if self.is_bottleneck else 1
        return {4 * 2**block: 64 * 2**block * factor for block in range(4)}


RESNET_18 = Network("resnet_v1_18", (2, 2, 2, 2), False)
RESNET_50 = Network("resnet_v1_50", (3, 4, 6, 3), True)
RESNET_101 = Network("resnet_v1_101", (3, 4, 23, 3), True)


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    network: Network,
    stem,
) -> Features:
    """Builds a ResNet up to its fourth block.

    Args:
      images: Normalised float32 [N, h, w, 3].
      options: The network; output stride and multi-grid are used.
      mode: What the graph is for.
      network: Which ResNet.
      stem: Function from images to features of stride 2.
    """
    with tf.variable_scope(network.scope), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        weights_initializer=tf.variance_scaling_initializer(2.0),
    ):
        outputs = stem(images)
        stages = {_STEM_STRIDE: outputs}
        outputs = tf.nn.max_pool(outputs, [1, 3, 3, 1], [1, 2, 2, 1], "SAME", name="pool1")
        outputs, low_level = _blocks(outputs, network, options, mode, stages)
        return Features(outputs, stages, low_level)


def _blocks(outputs, network, options, mode, stages):
    """Returns the last block's output and the low-level features; adds to the stages."""
    reached, rate = _POOLED_STRIDE, 1
    low_level, full_stride = {}, _POOLED_STRIDE
    for block, count in enumerate(network.units, 1):
        with tf.variable_scope(f"block{block}"):
            for unit in range(1, count + 1):
                stride, grid = 1, 1
                if block == 4:
                    grid = options.multi_grid[unit - 1] if options.multi_grid else 1
                elif unit == count:
                    stride = 2
                atrous = reached == options.output_stride
                with tf.variable_scope(f"unit_{unit}"):
                    outputs, branch = recompute.unit(
                        _unit,
                        outputs,
                        network,
                        64 * 2 ** (block - 1),
                        1 if atrous else stride,
                        rate * grid,
                        recompute=mode.recompute,
                    )
                if unit == count - 1 and not atrous:
                    # The last unit of its size, before its addition: what checkpoints expect.
                    low_level[reached] = branch
                full_stride *= stride
                stages[full_stride] = outputs
                rate, reached = (rate * stride, reached) if atrous else (rate, reached * stride)
    return outputs, low_level


def _unit(inputs, network, width, stride, rate):
    """Returns a residual unit's output, and that of its last convolution."""
    channels = width * 4 if network.is_bottleneck else width
    with tf.variable_scope("bottleneck_v1" if network.is_bottleneck else "lite_bottleneck_v1"):
        if inputs.shape.as_list()[3] == channels:
            shortcut = inputs if stride == 1 else inputs[:, ::stride, ::stride]
        else:
            shortcut = layers.conv2d(
                inputs, channels, 1, stride, activation_fn=None, scope="shortcut"
            )
        if network.is_bottleneck:
            branch = layers.conv2d(inputs, width, 1, scope="conv1")
            branch = layers.conv2d_same(branch, width, 3, stride, rate, scope="conv2")
            branch = layers.conv2d(branch, channels, 1, activation_fn=None, scope="conv3")
        else:
            branch = layers.conv2d_same(inputs, width, 3, 1, rate, scope="conv1")
            branch = layers.conv2d_same(
                branch, width, 3, stride, rate, activation_fn=None, scope="conv2"
            )
        return tf.nn.relu(shortcut + branch), branch


def _stem(images):
    return layers.conv2d_same(images, _STEM_CHANNELS, 7, _STEM_STRIDE, scope="conv1")


def variant(network: Network, stem, stem_channels: int, normalize, pad_color) -> Backbone:
    """Returns the record of a ResNet with a stem and the normalization it was trained with."""
    return Backbone(
        scope=network.scope,
        build=functools.partial(build, network=network, stem=stem),
        normalize=normalize,
        pad_color=pad_color,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels={_STEM_STRIDE: stem_channels, **network.channels},
        output_strides=(4, 8, 16, 32),
        low_level_strides=_LOW_LEVEL_STRIDES,
        takes=frozenset(["multi_grid"]),
        check=functools.partial(check_multi_grid, units=network.units[3]),
    )


VARIANTS = {
    network.scope: variant(network, _stem, _STEM_CHANNELS, subtract_mean, IMAGENET_MEAN)
    for network in (RESNET_18, RESNET_50, RESNET_101)
}
