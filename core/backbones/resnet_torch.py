"""ResNet and ResNeXt of torchvision, 18 to 152 layers (arXiv 1512.03385, 1611.05431).

A bottleneck's stride is in its 3x3 convolution. Strides past the output stride become atrous rates
as torchvision's `replace_stride_with_dilation` has them: the first unit of such a stage keeps the
rate of the stage before. Variables are named as in torchvision, initial values are its own: kernels
are normal with variance 2 / fan-out (arXiv 1502.01852).
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import STANDARDIZED_MEAN, Backbone, Features, standardize
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_BATCH_NORM_DECAY = 0.9
_BATCH_NORM_EPSILON = 1e-5
_STEM_CHANNELS = 64
# Strides after the stem, and after its pooling.
_STEM_STRIDE, _POOLED_STRIDE = 2, 4
_LOW_LEVEL_STRIDES = (4, 8, 16)


@dataclasses.dataclass(frozen=True)
class Network:
    """What makes a ResNet.

    Attributes:
      units: Number of units in each of the four layers.
      is_bottleneck: Whether units are 1x1, 3x3, 1x1 convolutions (else two 3x3).
      groups: Groups of the 3x3 convolution of a bottleneck.
      width_per_group: Channels of a group in the first layer.
    """

    units: tuple[int, int, int, int]
    is_bottleneck: bool = True
    groups: int = 1
    width_per_group: int = 64

    @property
    def channels(self) -> dict[int, int]:
        """Stride -> channels of the layers."""
        factor = 4 if self.is_bottleneck else 1
        return {4 * 2**index: 64 * 2**index * factor for index in range(4)}


NETWORKS = {
    "resnet18_torch": Network((2, 2, 2, 2), is_bottleneck=False),
    "resnet34_torch": Network((3, 4, 6, 3), is_bottleneck=False),
    "resnet50_torch": Network((3, 4, 6, 3)),
    "resnet101_torch": Network((3, 4, 23, 3)),
    "resnet152_torch": Network((3, 8, 36, 3)),
    "resnext50_torch": Network((3, 4, 6, 3), groups=32, width_per_group=4),
    "resnext101_torch": Network((3, 4, 23, 3), groups=32, width_per_group=8),
}


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    scope: str,
    network: Network,
) -> Features:
    """Builds a ResNet up to its fourth layer.

    Args:
      images: Normalized float32 [N, h, w, 3].
      options: The network; its output stride is used.
      mode: What the graph is for.
      scope: Scope of the variables.
      network: Which ResNet.
    """
    with tf.variable_scope(scope), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        epsilon=_BATCH_NORM_EPSILON,
        weights_initializer=tf.variance_scaling_initializer(2.0, "fan_out", "untruncated_normal"),
    ):
        # [N, h / 2, w / 2, 64]
        outputs = layers.conv2d_batch_norm(
            images, _STEM_CHANNELS, 7, _STEM_STRIDE, scope="conv1", norm_scope="bn1"
        )
        stages = {_STEM_STRIDE: outputs}
        outputs = layers.max_pool(outputs, 3, 2, 1)
        stages.update(_layers(outputs, network, options, mode))
    low_level = {
        stride: stages[stride] for stride in _LOW_LEVEL_STRIDES if stride < options.output_stride
    }
    return Features(stages[32], stages, low_level)


def _layers(outputs, network, options, mode) -> dict:
    """Returns stride -> output of each layer."""
    stages, reached, rate = {}, _POOLED_STRIDE, 1
    for index, (full_stride, count) in enumerate(zip(network.channels, network.units)):
        stride, first_rate = (1 if index == 0 else 2), rate
        if reached * stride > options.output_stride:
            stride, rate = 1, rate * stride
        reached *= stride
        for number in range(count):
            is_first = number == 0
            outputs = recompute.unit(
                _unit,
                outputs,
                network,
                64 * 2**index,
                stride if is_first else 1,
                (first_rate if is_first else rate, rate),
                f"layer{index + 1}/{number}",
                recompute=mode.recompute,
            )
        stages[full_stride] = outputs
    return stages


def _unit(inputs, network, planes, stride, rates, scope):
    """Returns a residual unit's output; `rates` are those of its strided and of a later 3x3."""
    with tf.variable_scope(scope):
        channels = planes * 4 if network.is_bottleneck else planes
        shortcut = inputs
        if stride != 1 or inputs.shape.as_list()[3] != channels:
            shortcut = layers.conv2d_batch_norm(
                inputs,
                channels,
                1,
                stride,
                activation_fn=None,
                scope="downsample/0",
                norm_scope="downsample/1",
            )
        branch = _bottleneck if network.is_bottleneck else _basic
        return tf.nn.relu(shortcut + branch(inputs, network, planes, stride, rates))


def _bottleneck(inputs, network, planes, stride, rates):
    width = planes * network.width_per_group // 64 * network.groups
    outputs = _numbered(inputs, 1, width, 1)
    outputs = _numbered(outputs, 2, width, 3, stride, rates[0], groups=network.groups)
    return _numbered(outputs, 3, planes * 4, 1, activation_fn=None)


def _basic(inputs, unused_network, planes, stride, rates):
    outputs = _numbered(inputs, 1, planes, 3, stride, rates[0])
    return _numbered(outputs, 2, planes, 3, 1, rates[1], activation_fn=None)


def _numbered(inputs, number, *shape, **settings):
    """Returns the convolution of a number within its unit, with the batch norm of the number."""
    scopes = {"scope": f"conv{number}", "norm_scope": f"bn{number}"}
    return layers.conv2d_batch_norm(inputs, *shape, **scopes, **settings)


def _variant(name: str, network: Network) -> Backbone:
    return Backbone(
        scope=name,
        build=functools.partial(build, scope=name, network=network),
        normalize=standardize,
        pad_color=STANDARDIZED_MEAN,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels={_STEM_STRIDE: _STEM_CHANNELS, **network.channels},
        output_strides=(4, 8, 16, 32),
        low_level_strides=_LOW_LEVEL_STRIDES,
    )


VARIANTS = {name: _variant(name, network) for name, network in NETWORKS.items()}
