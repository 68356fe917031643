"""DenseNet-121, 169 and 201 (arXiv 1608.06993), with the names of Keras.

A stage is the convolution of a transition, before its pooling. Pools past the output stride look at
every pixel, and the 3x3 convolutions after them become atrous.
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
_GROWTH, _BOTTLENECK = 32, 128

# Name -> layers of each block, which Keras counts from 2.
_LAYERS = {
    "densenet121": (6, 12, 24, 16),
    "densenet169": (6, 12, 32, 32),
    "densenet201": (6, 12, 48, 32),
}
_FIRST_BLOCK, _LAST_BLOCK = 2, 5


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    scope: str,
    counts: tuple[int, ...],
) -> Features:
    """Builds the blocks and their transitions; see `Backbone.build`.

    Args:
      images: Normalized float32 [N, h, w, 3].
      options: The network; the output stride is used.
      mode: What the graph is for.
      scope: Variable scope.
      counts: Number of layers of each block.
    """
    strides, stages = keras.Strides(options.output_stride), {}
    with tf.variable_scope(scope), layers.arg_scope(
        mode, decay=keras.BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ):
        outputs = keras.convolve(
            images,
            _STEM_CHANNELS,
            7,
            strides.take(2)[0],
            use_biases=False,
            convolution=layers.conv2d_same,
            scope="conv1/conv",
            norm_scope="conv1/bn",
        )
        stages[strides.full] = outputs
        strides.take(2)
        outputs = layers.max_pool(outputs, 3, 2, 1)
        for block, count in enumerate(counts, _FIRST_BLOCK):
            for number in range(1, count + 1):
                outputs = recompute.unit(
                    _layer,
                    outputs,
                    strides.rate,
                    f"conv{block}_block{number}",
                    recompute=mode.recompute,
                )
            if block < _LAST_BLOCK:
                stages[strides.full] = outputs = _narrow(outputs, f"pool{block}")
                stride, rate = strides.take(2)
                outputs = layers.average_pool(outputs, 2, stride, rate=rate)
        stages[strides.full] = outputs = layers.normalize(outputs, "bn")
    return Features(outputs, stages, keras.low_level(stages, options.output_stride))


def _layer(inputs, rate, name):
    """Returns features and what a layer adds to them."""
    outputs = layers.normalize(inputs, f"{name}_0_bn")
    outputs = keras.convolve(
        outputs, _BOTTLENECK, 1, use_biases=False, scope=f"{name}_1_conv", norm_scope=f"{name}_1_bn"
    )
    return tf.concat([inputs, _plain(outputs, _GROWTH, 3, rate, scope=f"{name}_2_conv")], 3)


def _narrow(inputs, name):
    """Returns half as many channels."""
    outputs = layers.normalize(inputs, f"{name}_bn")
    return _plain(outputs, inputs.shape.as_list()[3] // 2, 1, scope=f"{name}_conv")


def _plain(inputs, filters, kernel_size, rate=1, *, scope):
    return layers.conv2d(
        inputs,
        filters,
        kernel_size,
        rate=rate,
        activation_fn=None,
        normalizer_fn=None,
        use_biases=False,
        scope=scope,
    )


def _channels(counts) -> dict[int, int]:
    """Returns stride -> channels of the stage."""
    channels, width = {2: _STEM_CHANNELS}, _STEM_CHANNELS
    for stride, count in zip((4, 8, 16, 32), counts):
        width += count * _GROWTH
        if stride < 32:
            width //= 2
        channels[stride] = width
    return channels


VARIANTS = {
    name: Backbone(
        scope=name,
        build=functools.partial(build, scope=name, counts=counts),
        **NORMALIZATIONS["imagenet"]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels=_channels(counts),
        low_level_strides=(4, 8, 16),
    )
    for name, counts in _LAYERS.items()
}
