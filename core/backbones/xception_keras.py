"""Xception-65 as DeepLab of the Keras libraries has it (arXiv 1610.02357, 1802.02611).

The blocks are those of `xception_65`; layers have names of their own, and batch norm other settings
than in the DeepLab family. It is not the Xception of `tf.keras.applications`.
"""

from __future__ import annotations

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, keras
from core.backbones.xception import BLOCKS_65, CHANNELS, CONVOLVED, NONE
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "xception_keras"
_BATCH_NORM_EPSILON = 1e-3
_KERNEL_SIZE = 3


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network up to the last block of its exit flow; see `Backbone.build`."""
    strides, stages, low_level = keras.Strides(options.output_stride), {}, {}
    with tf.variable_scope(_SCOPE), layers.arg_scope(
        mode, decay=keras.BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ):
        outputs = keras.convolve(
            images, 32, _KERNEL_SIZE, strides.take(2)[0], scope="entry_flow_conv1_1"
        )
        outputs = keras.convolve(outputs, 64, _KERNEL_SIZE, scope="entry_flow_conv1_2")
        stages[strides.full] = outputs
        for block, name in _units():
            before = strides.full
            stride, rate = strides.take(block.stride)
            outputs, second = recompute.unit(
                _unit, outputs, block, stride, rate, name, recompute=mode.recompute
            )
            if stride > 1 and before > 2:
                low_level[before] = second
            stages[strides.full] = outputs
    return Features(outputs, stages, low_level)


def _units():
    """Yields the (block, name) of all units."""
    for block in BLOCKS_65:
        name = block.scope.replace("/", "_")
        if block.units == 1:
            yield block, name
        else:
            flow = name.rsplit("_", 1)[0]
            yield from ((block, f"{flow}_unit_{unit}") for unit in range(1, block.units + 1))


def _unit(inputs, block, stride, rate, name):
    """Returns a unit's output and that of its second convolution, before the stride."""
    activates_last = block.shortcut == NONE
    convolved = [inputs]
    for index, (channels, step) in enumerate(zip(block.channels, (1, 1, stride)), 1):
        outputs = convolved[-1] if activates_last else tf.nn.relu(convolved[-1])
        outputs = keras.separable(
            outputs,
            channels,
            step,
            rate,
            activation_fn=tf.nn.relu if activates_last else None,
            scope=f"{name}_separable_conv{index}",
        )
        convolved.append(outputs)
    residual, second = convolved[3], convolved[2]
    if block.shortcut == NONE:
        return residual, second
    shortcut = inputs
    if block.shortcut == CONVOLVED:
        shortcut = keras.convolve(
            inputs, block.channels[-1], 1, stride, scope=f"{name}_shortcut", activation_fn=None
        )
    return residual + shortcut, second


VARIANTS = {
    _SCOPE: Backbone(
        scope=_SCOPE,
        build=build,
        **NORMALIZATIONS["tf"]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels=CHANNELS,
        low_level_strides=(4, 8, 16),
    )
}
