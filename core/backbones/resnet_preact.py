"""Pre-activation ResNets of the Keras segmentation libraries, some with squeeze-and-excitation.

Batch norm and ReLU come before the convolutions of a unit (arXiv 1603.05027). The images are not
normalized: a batch norm without gamma is the network's first layer. Scopes have the names of the
original's layers, `stage1_unit1_conv1`; those that Keras numbers are `conv2d_1`, `conv2d_2` ...

Stages are the ReLUs before the first convolutions of stages 2, 3 and 4, as in the original.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import BLACK, Backbone, Features, keep_values, residual
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

BATCH_NORM_DECAY = 0.99
BATCH_NORM_EPSILON = 2e-5


@dataclasses.dataclass(frozen=True)
class Network:
    """What makes a pre-activation ResNet.

    Attributes:
      scope: Variable scope.
      units: Number of units in each of the four stages.
      is_bottleneck: Whether units are 1x1, 3x3, 1x1 convolutions (else two 3x3).
      squeezes: Whether units have squeeze-and-excitation.
    """

    scope: str
    units: tuple[int, int, int, int]
    is_bottleneck: bool = False
    squeezes: bool = False

    @property
    def channels(self) -> dict[int, int]:
        """Stride -> channels of the stages."""
        factor = 4 if self.is_bottleneck else 1
        return {2: 64, **{4 * 2**stage: 64 * 2**stage * factor for stage in range(4)}}


NETWORKS = (
    Network("resnet18_preact", (2, 2, 2, 2)),
    Network("resnet34_preact", (3, 4, 6, 3)),
    Network("resnet50_preact", (3, 4, 6, 3), is_bottleneck=True),
    Network("resnet101_preact", (3, 4, 23, 3), is_bottleneck=True),
    Network("resnet152_preact", (3, 8, 36, 3), is_bottleneck=True),
    Network("seresnet18", (2, 2, 2, 2), squeezes=True),
    Network("seresnet34", (3, 4, 6, 3), squeezes=True),
)


def build(
    images: tf.Tensor, options: NetworkOptions, mode: layers.Mode, *, network: Network
) -> Features:
    """Builds a pre-activation ResNet; see `Backbone.build`."""
    stages = {}
    with tf.variable_scope(network.scope), arg_scope(mode, residual.HE_UNIFORM):
        stages[2] = stem(images)
        outputs = layers.max_pool(stages[2], 3, 2, 1)
        for number, place in enumerate(residual.places(network.units, options.output_stride)):
            squeeze = (f"conv2d_{2 * number + 1}", f"conv2d_{2 * number + 2}")
            outputs, before = recompute.unit(
                _unit,
                outputs,
                network,
                place,
                squeeze if network.squeezes else None,
                recompute=mode.recompute,
            )
            if place.unit == 1 and place.stage > 1:
                stages[place.full_stride // 2] = before
        stages[32] = tf.nn.relu(layers.batch_norm(outputs, scope="bn1"))
    return Features(stages[32], stages, residual.low_level(stages, options.output_stride))


def arg_scope(mode: layers.Mode, weights_initializer):
    """Returns the arg scope of the networks that have this stem."""
    return layers.arg_scope(
        mode,
        decay=BATCH_NORM_DECAY,
        epsilon=BATCH_NORM_EPSILON,
        weights_initializer=weights_initializer,
    )


def stem(images: tf.Tensor) -> tf.Tensor:
    """Normalizes images and returns features of stride 2."""
    outputs = layers.batch_norm(images, scale=False, scope="bn_data")
    outputs = residual.convolve(outputs, 64, 7, 2, scope="conv0")
    return tf.nn.relu(layers.batch_norm(outputs, scope="bn0"))


def _unit(inputs, network, place, squeeze):
    """Returns a unit's output, and what its convolutions see."""
    width, name = 64 * 2 ** (place.stage - 1), f"stage{place.stage}_unit{place.unit}"
    channels = network.channels[place.full_stride]
    activated = tf.nn.relu(layers.batch_norm(inputs, scope=f"{name}_bn1"))
    kernels = [(width, 1), (width, 3), (channels, 1)] if network.is_bottleneck else [(width, 3)] * 2
    strided = 1 if network.is_bottleneck else 0
    branch = activated
    for number, (filters, size) in enumerate(kernels):
        if number:
            branch = tf.nn.relu(layers.batch_norm(branch, scope=f"{name}_bn{number + 1}"))
        stride = place.stride if number == strided else 1
        rate = 1 if size == 1 else place.rate if number <= strided else place.next_rate
        scope = f"{name}_conv{number + 1}"
        branch = residual.convolve(branch, filters, size, stride, rate, scope=scope)
    if squeeze:
        branch = residual.squeeze_and_excite(branch, squeeze)
    if place.unit > 1:
        return branch + inputs, activated
    shortcut = residual.convolve(activated, channels, 1, place.stride, scope=f"{name}_sc")
    return branch + shortcut, activated


def variant(scope: str, channels: dict, build_function) -> Backbone:
    """Returns the record of a network that normalizes images by itself."""
    return Backbone(
        scope=scope,
        build=build_function,
        normalize=keep_values,
        pad_color=BLACK,
        batch_norm_decay=BATCH_NORM_DECAY,
        channels=channels,
        low_level_strides=residual.LOW_LEVEL_STRIDES,
    )


VARIANTS = {
    network.scope: variant(
        network.scope, network.channels, functools.partial(build, network=network)
    )
    for network in NETWORKS
}
