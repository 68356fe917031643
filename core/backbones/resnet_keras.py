"""ResNet-50, 101 and 152 of `tf.keras.applications`, v1 and v2 (arXiv 1512.03385, 1603.05027).

v1 has the stride of a stage in its first 1x1 convolution, v2 in the 3x3 of the last unit of the
stage before. Strides past the output stride become atrous rates. Variables have Keras' names.
"""

from __future__ import annotations

import functools

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, keras
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_BATCH_NORM_EPSILON = 1.001e-5
_STEM_CHANNELS = 64
_EXPANSION = 4
_WIDTHS = (64, 128, 256, 512)
_CHANNELS = {2: _STEM_CHANNELS, 4: 256, 8: 512, 16: 1024, 32: 2048}

# Layers -> units of each stage, which Keras counts from 2.
_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_FIRST_STAGE, _LAST_STAGE = 2, 5


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    scope: str,
    units: tuple[int, ...],
    build_stages,
) -> Features:
    """Builds a ResNet; see `Backbone.build`.

    Args:
      images: Normalized float32 [N, h, w, 3].
      options: The network; the output stride is used.
      mode: What the graph is for.
      scope: Variable scope.
      units: Number of units of each stage.
      build_stages: `v1` or `v2`.
    """
    stages, named = {}, {}
    with tf.variable_scope(scope), layers.arg_scope(
        mode, decay=keras.BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ):
        for full_stride, name, outputs in build_stages(
            images, keras.Strides(options.output_stride), units, mode
        ):
            stages[full_stride] = outputs
            named[name] = (full_stride, outputs)
    return Features(stages[32], stages, keras.low_level(stages, options.output_stride), named)


def v1(images, strides, units, mode):
    """Yields the (stride at output stride 32, name, output) of the stem and each unit."""
    outputs = keras.convolve(
        images,
        _STEM_CHANNELS,
        7,
        strides.take(2)[0],
        use_biases=True,
        convolution=layers.conv2d_same,
        scope="conv1_conv",
        norm_scope="conv1_bn",
    )
    yield strides.full, "conv1_relu", outputs
    outputs = layers.max_pool(outputs, 3, strides.take(2)[0], 1)
    for stage, unit, _ in _units(units):
        stride, _ = strides.take(2 if unit == 1 and stage > _FIRST_STAGE else 1)
        name = f"conv{stage}_block{unit}"
        outputs = recompute.unit(
            _unit_v1,
            outputs,
            _WIDTHS[stage - _FIRST_STAGE],
            stride,
            strides.rate,
            unit == 1,
            name,
            recompute=mode.recompute,
        )
        yield strides.full, f"{name}_out", outputs


def _units(counts):
    """Returns the (stage, unit, whether it is the stage's last) of all units."""
    return [
        (stage, unit, unit == count)
        for stage, count in enumerate(counts, _FIRST_STAGE)
        for unit in range(1, count + 1)
    ]


def _unit_v1(inputs, width, stride, rate, is_first, name):
    shortcut, channels = inputs, width * _EXPANSION
    convolve = functools.partial(_convolve, name, use_biases=True)
    if is_first:
        shortcut = convolve(0, inputs, channels, 1, stride, activation_fn=None)
    outputs = convolve(1, inputs, width, 1, stride)
    outputs = convolve(2, outputs, width, 3, 1, rate)
    outputs = convolve(3, outputs, channels, 1, activation_fn=None)
    return tf.nn.relu(shortcut + outputs)


def _convolve(unit, number, inputs, *settings, **more):
    scope = f"{unit}_{number}"
    return keras.convolve(
        inputs, *settings, scope=f"{scope}_conv", norm_scope=f"{scope}_bn", **more
    )


def v2(images, strides, units, mode):
    """Yields the (stride at output stride 32, name, output) of the stem and each unit.

    Outputs of units are neither normalized nor activated, but that of the last is.
    """
    outputs = _plain(images, _STEM_CHANNELS, 7, strides.take(2)[0], scope="conv1_conv")
    yield strides.full, "conv1_conv", outputs
    # Keras pads with zeros here, which are larger than some features.
    outputs = layers.max_pool(outputs, 3, strides.take(2)[0], 1)
    for stage, unit, is_last in _units(units):
        stride, rate = strides.take(2 if is_last and stage < _LAST_STAGE else 1)
        name = f"conv{stage}_block{unit}"
        outputs = recompute.unit(
            _unit_v2,
            outputs,
            _WIDTHS[stage - _FIRST_STAGE],
            stride,
            rate,
            unit == 1,
            name,
            recompute=mode.recompute,
        )
        yield strides.full, f"{name}_out", outputs
    yield strides.full, "post_relu", layers.normalize(outputs, "post_bn")


def _unit_v2(inputs, width, stride, rate, is_first, name):
    channels = width * _EXPANSION
    activated = layers.normalize(inputs, f"{name}_preact_bn")
    if is_first:
        shortcut = _plain(activated, channels, 1, scope=f"{name}_0_conv")
    else:
        shortcut = inputs if stride == 1 else inputs[:, ::stride, ::stride]
    convolve = functools.partial(_convolve, name)
    outputs = convolve(1, activated, width, 1)
    outputs = convolve(2, outputs, width, 3, stride, rate, convolution=layers.conv2d_same)
    return shortcut + _plain(outputs, channels, 1, scope=f"{name}_3_conv")


def _plain(inputs, *settings, scope):
    """Convolves and adds biases, neither normalized nor activated."""
    return layers.conv2d_same(
        inputs, *settings, activation_fn=None, normalizer_fn=None, scope=scope
    )


def _variant(name, count, build_stages, others, normalization) -> Backbone:
    units = _UNITS[count]
    named = {
        f"conv{stage}_block{unit}_out": _place(build_stages, stage, is_last)
        for stage, unit, is_last in _units(units)
    }
    return Backbone(
        scope=name,
        build=functools.partial(build, scope=name, units=units, build_stages=build_stages),
        **NORMALIZATIONS[normalization]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels=_CHANNELS,
        low_level_strides=(4, 8, 16),
        named={**named, **{layer: (stride, _CHANNELS[stride]) for layer, stride in others.items()}},
    )


def _place(build_stages, stage, is_last) -> tuple[int, int]:
    """Returns the (stride, channels) of a unit's output."""
    channels = _WIDTHS[stage - _FIRST_STAGE] * _EXPANSION
    strides_early = build_stages is v2 and is_last and stage < _LAST_STAGE
    return 2 ** (stage + strides_early), channels


VARIANTS = {
    name: _variant(name, count, build_stages, others, normalization)
    for count in _UNITS
    for name, build_stages, others, normalization in (
        (f"resnet{count}_keras", v1, {"conv1_relu": 2}, "caffe"),
        (f"resnet{count}_v2_keras", v2, {"conv1_conv": 2, "post_relu": 32}, "tf"),
    )
}
