"""ResNeXt-50 and 101 of the Keras segmentation libraries (arXiv 1611.05431).

The stem and its normalized input are those of the pre-activation ResNets beside it, after which
they are called; the units themselves have batch norm after their convolutions. A 3x3 convolution in
32 groups has the name of the first of the 32 layers that it is in the original, `conv2d_33`.

Stages are the first ReLUs of stages 2, 3 and 4, as in the original.
"""

from __future__ import annotations

import functools

from core import layers
from core.backbones import Features, residual, resnet_preact
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_GROUPS = 32
_CHANNELS = {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}
_UNITS = {"resnext50_preact": (3, 4, 6, 3), "resnext101_preact": (3, 4, 23, 3)}

# Glorot's bounds for a kernel of one group, which has as many filters as channels.
_GLOROT_OF_A_GROUP = tf.variance_scaling_initializer(1.0, "fan_in", "uniform")


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode, *, scope: str) -> Features:
    """Builds a ResNeXt; see `Backbone.build`."""
    stages = {}
    with tf.variable_scope(scope), resnet_preact.arg_scope(mode, None):
        stages[2] = resnet_preact.stem(images)
        outputs = layers.max_pool(stages[2], 3, 2, 1)
        for number, place in enumerate(residual.places(_UNITS[scope], options.output_stride)):
            grouped = f"conv2d_{number * _GROUPS + 1}"
            outputs, first = recompute.unit(
                _unit, outputs, place, grouped, recompute=mode.recompute
            )
            if place.unit == 1 and place.stage > 1:
                stages[place.full_stride // 2] = first
        stages[32] = outputs
    return Features(outputs, stages, residual.low_level(stages, options.output_stride))


def _unit(inputs, place, grouped):
    """Returns a unit's output, and that of its first convolution."""
    width, name = 128 * 2 ** (place.stage - 1), f"stage{place.stage}_unit{place.unit}"
    first = residual.convolve(inputs, width, 1, scope=f"{name}_conv1")
    first = tf.nn.relu(layers.batch_norm(first, scope=f"{name}_bn1"))
    branch = residual.convolve(
        first,
        width,
        3,
        place.stride,
        place.rate,
        groups=_GROUPS,
        weights_initializer=_GLOROT_OF_A_GROUP,
        scope=grouped,
    )
    branch = tf.nn.relu(layers.batch_norm(branch, scope=f"{name}_bn2"))
    branch = residual.convolve(branch, 2 * width, 1, scope=f"{name}_conv3")
    branch = layers.batch_norm(branch, scope=f"{name}_bn3")
    shortcut = inputs
    if place.unit == 1:
        shortcut = residual.convolve(inputs, 2 * width, 1, place.stride, scope=f"{name}_sc")
        shortcut = layers.batch_norm(shortcut, scope=f"{name}_sc_bn")
    return tf.nn.relu(branch + shortcut), first


VARIANTS = {
    scope: resnet_preact.variant(scope, _CHANNELS, functools.partial(build, scope=scope))
    for scope in _UNITS
}
