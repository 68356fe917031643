"""HarDNet as FC-HarDNet has it for segmentation (arXiv 1909.00948): blocks of few, chosen links.

A table of blocks makes the network. An odd last row or column is dropped by the pooling between two
blocks, so from stride 8 on features are smaller than those of other backbones. The scopes are the
names of the original's modules.

HarDNet-39, 68 and 85 are classifiers with other stems; no segmentation network of this form was
published of them. One like that is another row of `NETWORKS`.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import STANDARDIZED_MEAN, Backbone, Features, standardize_bgr
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_BATCH_NORM_DECAY = 0.9
_STEM_STRIDE, _LAST_STEM_STRIDE = 2, 4
# A layer's width grows by this factor with each link but its nearest one.
_GROWTH_FACTOR = 1.7


@dataclasses.dataclass(frozen=True)
class Block:
    """A harmonic dense block and the 1x1 layer after it.

    Attributes:
      growth: Width of a layer with one link.
      layers: Number of 3x3 layers.
      channels: Width of the 1x1 layer.
    """

    growth: int
    layers: int
    channels: int

    @property
    def outputs(self) -> int:
        """Channels that the block gives, before the 1x1 layer."""
        return sum(width(self.growth, number) for number in _kept(self.layers))


@dataclasses.dataclass(frozen=True)
class Network:
    """What makes a HarDNet.

    Attributes:
      scope: Variable scope.
      stem: Widths of the four 3x3 layers before the blocks.
      blocks: The blocks; the features are halved after each but the last.
    """

    scope: str
    stem: tuple[int, int, int, int]
    blocks: tuple[Block, ...]

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each block."""
        return tuple(_LAST_STEM_STRIDE * 2**number for number in range(len(self.blocks)))

    @property
    def channels(self) -> dict[int, int]:
        """Stride -> channels of that stage."""
        found = {_STEM_STRIDE: self.stem[1]}
        found.update(zip(self.strides, [block.outputs for block in self.blocks]))
        return {**found, self.strides[-1]: self.blocks[-1].channels}


HARDNET_70 = Network(
    "hardnet70",
    (16, 24, 32, 48),
    (Block(10, 4, 64), Block(16, 4, 96), Block(18, 8, 160), Block(24, 8, 224), Block(32, 8, 320)),
)
NETWORKS = {network.scope: network for network in (HARDNET_70,)}


def build(
    images: tf.Tensor, unused_options: NetworkOptions, mode: layers.Mode, *, network: Network
) -> Features:
    """Builds a HarDNet.

    Args:
      images: Normalised float32 [N, h, w, 3], channels blue, green, red.
      unused_options: The network; nothing in it changes this backbone.
      mode: What the graph is for.
      network: Which HarDNet.

    Returns:
      The features: the stages are the outputs of the blocks before their 1x1 layers, but that of
      the largest stride is after it.
    """
    with tf.variable_scope(network.scope), arg_scope(mode, _BATCH_NORM_DECAY), tf.variable_scope(
        "base"
    ):
        outputs, stages = images, {}
        for number, channels in enumerate(network.stem):
            stride = 2 if number in (0, 2) else 1
            outputs = layer(outputs, channels, 3, stride, scope=str(number))
            if number == 1:
                stages[_STEM_STRIDE] = outputs
        place = len(network.stem)
        for stride, block in zip(network.strides, network.blocks):
            if stride != network.strides[0]:
                outputs = _halve(outputs, str(place - 1))
            outputs = recompute.unit(
                dense_block, outputs, block, str(place), recompute=mode.recompute
            )
            stages[stride] = outputs
            outputs = layer(outputs, block.channels, 1, scope=str(place + 1))
            place += 3
        stages[network.strides[-1]] = outputs
        return Features(outputs, stages, {})


def arg_scope(mode: layers.Mode, decay: float):
    """Returns the arg scope of `layer` and `dense_block`.

    Args:
      mode: What the graph is for.
      decay: Decay of the moving averages.
    """
    return layers.arg_scope(mode, decay=decay, weights_initializer=initializer())


def initializer():
    """Returns Glorot's normal initializer, not truncated, which all convolutions start from."""
    return tf.variance_scaling_initializer(1.0, "fan_avg", "untruncated_normal")


def layer(
    inputs: tf.Tensor, channels: int, kernel_size: int, stride: int = 1, *, scope: str
) -> tf.Tensor:
    """Convolves with symmetric padding, normalizes and activates."""
    with tf.variable_scope(scope):
        outputs = layers.conv2d_same(
            inputs,
            channels,
            kernel_size,
            stride,
            normalizer_fn=None,
            use_biases=False,
            activation_fn=None,
            scope="conv",
        )
        return tf.nn.relu(layers.batch_norm(outputs, scope="norm"))


def dense_block(inputs: tf.Tensor, block: Block, scope: str) -> tf.Tensor:
    """Builds a block without its 1x1 layer: of its layers every other one and the last are kept."""
    outputs = [inputs]
    with tf.variable_scope(scope):
        for number in range(1, block.layers + 1):
            joined = _concatenated([outputs[link] for link in links(number)])
            outputs.append(
                layer(joined, width(block.growth, number), 3, scope=f"layers/{number - 1}")
            )
        return _concatenated([outputs[number] for number in _kept(block.layers)])


def links(number: int) -> list:
    """Returns the outputs that a layer reads, the nearest one first; 0 is the block's input."""
    return [number - step for step in _steps(number)]


def width(growth: int, number: int) -> int:
    """Returns the channels of a layer, an even number."""
    channels = growth
    for _ in _steps(number)[1:]:
        channels *= _GROWTH_FACTOR
    return int(channels + 1) // 2 * 2


def _steps(number):
    """Returns the powers of two that divide the number of a layer."""
    return [2**power for power in range(number.bit_length()) if number % 2**power == 0]


def _kept(count):
    return [number for number in range(1, count + 1) if number % 2 or number == count]


def _concatenated(tensors):
    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, 3)


def _halve(inputs, scope):
    with tf.variable_scope(scope):
        return layers.average_pool(inputs, 2, 2, "VALID")


VARIANTS = {
    name: Backbone(
        scope=network.scope,
        build=functools.partial(build, network=network),
        normalize=standardize_bgr,
        pad_color=STANDARDIZED_MEAN,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels=network.channels,
        output_strides=(),
        low_level_strides=(),
        architectures=("fc_hardnet",),
    )
    for name, network in NETWORKS.items()
}
