"""SE-ResNet, SE-ResNeXt and SENet-154 of the Keras segmentation libraries (arXiv 1709.01507).

Units have batch norm after their convolutions, and squeeze-and-excitation before the addition. All
layers have the names that Keras gives them by number, `conv2d_1`, `batch_normalization_1`; a
convolution in groups has the name of the first of the layers that it is in the original.

Stages are the outputs of stages 1 to 3, as in the original.
"""

from __future__ import annotations

import dataclasses
import functools

from core import layers
from core.backbones import STANDARDIZED_MEAN, Backbone, Features, residual, standardize
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_BATCH_NORM_DECAY = 0.99
_BATCH_NORM_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Network:
    """What makes a network of this family.

    Attributes:
      scope: Variable scope.
      units: Number of units in each of the four stages.
      widths: Channels of the first two convolutions of the units of stage 1.
      groups: Groups of the 3x3 convolutions.
      strides_first: Whether a unit's stride is in its first convolution, else in its 3x3.
      is_deep: Whether the stem is three 3x3 convolutions instead of a 7x7, and the shortcuts of
        stages 2 to 4 are 3x3.
    """

    scope: str
    units: tuple[int, int, int, int]
    widths: tuple[int, int] = (64, 64)
    groups: int = 1
    strides_first: bool = False
    is_deep: bool = False

    @property
    def channels(self) -> dict[int, int]:
        """Stride -> channels of the stages."""
        return {2: 128 if self.is_deep else 64, 4: 256, 8: 512, 16: 1024, 32: 2048}


NETWORKS = (
    Network("seresnet50", (3, 4, 6, 3), strides_first=True),
    Network("seresnet101", (3, 4, 23, 3), strides_first=True),
    Network("seresnet152", (3, 8, 36, 3), strides_first=True),
    Network("seresnext50", (3, 4, 6, 3), (128, 128), 32),
    Network("seresnext101", (3, 4, 23, 3), (128, 128), 32),
    Network("senet154", (3, 8, 36, 3), (128, 256), 64, is_deep=True),
)


class _Names:
    """Numbers the layers as Keras does in a fresh process."""

    def __init__(self, convolutions: int = 0, norms: int = 0):
        self.convolutions, self.norms = convolutions, norms

    def convolution(self, count: int = 1) -> str:
        """Returns the name of the next convolution, which may be several in the original."""
        self.convolutions += count
        return f"conv2d_{self.convolutions - count + 1}"

    def norm(self) -> str:
        """Returns the name of the next batch norm."""
        self.norms += 1
        return f"batch_normalization_{self.norms}"


def build(
    images: tf.Tensor, options: NetworkOptions, mode: layers.Mode, *, network: Network
) -> Features:
    """Builds a network of this family; see `Backbone.build`."""
    names, stages = _Names(), {}
    with tf.variable_scope(network.scope), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        epsilon=_BATCH_NORM_EPSILON,
        weights_initializer=residual.HE_UNIFORM,
    ):
        stages[2] = _stem(images, network, names)
        outputs = layers.max_pool(stages[2], 3, 2, 1)
        for place in residual.places(network.units, options.output_stride):
            # A unit that is computed again must have the same names.
            started = names.convolutions, names.norms
            outputs = recompute.unit(
                _unit, outputs, network, place, started, recompute=mode.recompute
            )
            _count_unit(names, network, place)
            stages[place.full_stride] = outputs
    return Features(outputs, stages, residual.low_level(stages, options.output_stride))


def _stem(images, network, names):
    """Returns features of stride 2."""
    if not network.is_deep:
        return _convolve(images, 64, 7, 2, names=names)
    outputs = images
    for filters, stride in ((64, 2), (64, 1), (128, 1)):
        outputs = _convolve(outputs, filters, 3, stride, names=names)
    return outputs


def _unit(inputs, network, place, started):
    """Returns a unit's output."""
    names, factor = _Names(*started), 2 ** (place.stage - 1)
    first, second = network.widths
    stride, late_stride = (place.stride, 1) if network.strides_first else (1, place.stride)
    rate = place.next_rate if network.strides_first else place.rate
    branch = _convolve(inputs, first * factor, 1, stride, names=names)
    branch = _convolve(
        branch, second * factor, 3, late_stride, rate, names=names, groups=network.groups
    )
    branch = _convolve(branch, 256 * factor, 1, names=names, activation_fn=None)
    shortcut = inputs
    if place.unit == 1:
        size = 3 if network.is_deep and place.stage > 1 else 1
        shortcut = _convolve(
            inputs,
            256 * factor,
            size,
            place.stride,
            place.rate if size > 1 else 1,
            names=names,
            activation_fn=None,
        )
    squeeze = (names.convolution(), names.convolution())
    return tf.nn.relu(residual.squeeze_and_excite(branch, squeeze) + shortcut)


def _count_unit(names, network, place):
    """Counts the layers of a unit: its three convolutions, shortcut, squeeze and excitation."""
    shortcuts = 1 if place.unit == 1 else 0
    names.convolutions += 4 + network.groups + shortcuts
    names.norms += 3 + shortcuts


def _convolve(
    inputs, filters, size, stride=1, rate=1, *, names, groups=1, activation_fn=tf.nn.relu
):
    """Convolves, normalizes and activates."""
    scope = names.convolution(groups)
    outputs = residual.convolve(inputs, filters, size, stride, rate, groups=groups, scope=scope)
    outputs = layers.batch_norm(outputs, scope=names.norm())
    return outputs if activation_fn is None else activation_fn(outputs)


VARIANTS = {
    network.scope: Backbone(
        scope=network.scope,
        build=functools.partial(build, network=network),
        normalize=standardize,
        pad_color=STANDARDIZED_MEAN,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels=network.channels,
        low_level_strides=residual.LOW_LEVEL_STRIDES,
    )
    for network in NETWORKS
}
