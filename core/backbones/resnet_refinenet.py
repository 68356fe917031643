"""The ResNets with 18 to 152 layers that the RefineNet system for map data trains from scratch.

They differ from other ResNets (arXiv 1512.03385) in details: TensorFlow's SAME padding, which
depends on the size of strided inputs; biases in front of batch norm except in the stem; the stride
in the 3x3 convolution of a bottleneck; images in 0..255 as they are.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import BLACK, Backbone, Features, keep_values
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import slim, tf

_BATCH_NORM_DECAY, _BATCH_NORM_EPSILON = 0.99, 1e-3
_STEM_CHANNELS = 64
_STEM_STRIDE, _POOLED_STRIDE = 2, 4


@dataclasses.dataclass(frozen=True)
class Network:
    """What makes a ResNet.

    Attributes:
      scope: Variable scope.
      units: Number of units in each of the four layers.
      is_bottleneck: Whether units are 1x1, 3x3, 1x1 convolutions (else two 3x3).
    """

    scope: str
    units: tuple[int, int, int, int]
    is_bottleneck: bool = True

    @property
    def channels(self) -> dict[int, int]:
        """Stride -> channels of the layers."""
        factor = 4 if self.is_bottleneck else 1
        return {4 * 2**index: 64 * 2**index * factor for index in range(4)}


NETWORKS = (
    Network("resnet18_refinenet", (2, 2, 2, 2), is_bottleneck=False),
    Network("resnet34_refinenet", (3, 4, 6, 3), is_bottleneck=False),
    Network("resnet50_refinenet", (3, 4, 6, 3)),
    Network("resnet101_refinenet", (3, 4, 23, 3)),
    Network("resnet152_refinenet", (3, 8, 36, 3)),
)


def build(
    images: tf.Tensor, options: NetworkOptions, mode: layers.Mode, *, network: Network
) -> Features:
    """Builds a ResNet; see `Backbone.build`."""
    with tf.variable_scope(network.scope), slim.arg_scope(
        [layers.conv2d], mode=mode, activation_fn=None
    ), slim.arg_scope(
        [layers.batch_norm], mode=mode, decay=_BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ):
        with tf.variable_scope("layer0"):
            stem = layers.conv2d(
                images, _STEM_CHANNELS, 7, _STEM_STRIDE, use_biases=False, scope="conv"
            )
            stem = tf.nn.relu(layers.batch_norm(stem, scope="bn"))
            outputs = layers.max_pool(stem, 3, 2)
        stages, named = {_STEM_STRIDE: stem}, {"layer0": (_POOLED_STRIDE, outputs)}
        outputs = _add_layers(outputs, network, options, mode, stages, named)
        low_level = {
            stride: stages[stride] for stride in (4, 8, 16) if stride < options.output_stride
        }
        return Features(outputs, stages, low_level, named)


def _add_layers(outputs, network, options, mode, stages, named):
    """Returns the last layer's output; adds to the stages and the named features."""
    reached, rate = _POOLED_STRIDE, 1
    for number, (full_stride, count) in enumerate(zip(network.channels, network.units), 1):
        strides_left = full_stride > reached * rate
        stride = 2 if strides_left and reached < options.output_stride else 1
        # The first unit still sees features of the layer before.
        rates = (rate, rate * 2 if strides_left and stride == 1 else rate)
        with tf.variable_scope(f"layer{number}"):
            for unit in range(count):
                with tf.variable_scope(str(unit)):
                    outputs = recompute.unit(
                        _bottleneck if network.is_bottleneck else _basic,
                        outputs,
                        64 * 2 ** (number - 1),
                        1 if unit else stride,
                        rates if unit == 0 else (rates[1],) * 2,
                        recompute=mode.recompute,
                    )
        reached, rate = reached * stride, rates[1]
        stages[full_stride] = outputs
        named[f"layer{number}"] = (full_stride, outputs)
    return outputs


def _basic(inputs, width, stride, rates):
    """Returns the output of two 3x3 convolutions; `rates` are theirs."""
    branch = tf.nn.relu(_normalized(inputs, width, 3, stride, rates[0], number=1))
    branch = _normalized(branch, width, 3, 1, rates[1], number=2)
    return tf.nn.relu(branch + _shortcut(inputs, width, stride))


def _bottleneck(inputs, width, stride, rates):
    """Returns the output of 1x1, 3x3 and 1x1 convolutions; the 3x3 has the first of the rates."""
    branch = tf.nn.relu(_normalized(inputs, width, 1, number=1))
    branch = tf.nn.relu(_normalized(branch, width, 3, stride, rates[0], number=2))
    branch = _normalized(branch, 4 * width, 1, number=3)
    return tf.nn.relu(branch + _shortcut(inputs, 4 * width, stride))


def _normalized(inputs, *settings, number):
    outputs = layers.conv2d(inputs, *settings, scope=f"conv{number}")
    return layers.batch_norm(outputs, scope=f"bn{number}")


def _shortcut(inputs, channels, stride):
    if stride == 1 and inputs.shape.as_list()[3] == channels:
        return inputs
    with tf.variable_scope("downsample"):
        return layers.batch_norm(
            layers.conv2d(inputs, channels, 1, stride, scope="conv"), scope="bn"
        )


def _variant(network: Network) -> Backbone:
    channels = network.channels
    layer_names = {f"layer{n}": item for n, item in enumerate(channels.items(), 1)}
    return Backbone(
        scope=network.scope,
        build=functools.partial(build, network=network),
        normalize=keep_values,
        pad_color=BLACK,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels={_STEM_STRIDE: _STEM_CHANNELS, **channels},
        low_level_strides=(4, 8, 16),
        named={"layer0": (_POOLED_STRIDE, _STEM_CHANNELS), **layer_names},
    )


VARIANTS = {network.scope: _variant(network) for network in NETWORKS}
