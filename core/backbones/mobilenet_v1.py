"""MobileNet (arXiv 1704.04861), with the names of Keras.

Keras pads a strided layer below and to the right only, which is what TensorFlow does at even sizes;
at odd ones this network pads all sides, so that every size has features.
"""

from __future__ import annotations

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, keras
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "mobilenet"
_BATCH_NORM_EPSILON = 1e-3
_STEM_CHANNELS = 32
# (channels, stride) of each block.
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network; see `Backbone.build`.

    Args:
      images: float32 [N, h, w, 3] in [-1, 1].
      options: The network; output stride and depth multiplier are used.
      mode: What the graph is for.
    """
    strides, stages = keras.Strides(options.output_stride), {}
    with tf.variable_scope(_SCOPE), layers.arg_scope(
        mode, decay=keras.BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ):
        width = _scaled(_STEM_CHANNELS, options)
        outputs = _convolve(images, width, 3, strides.take(2)[0], name="conv1")
        for number, (channels, stride) in enumerate(_BLOCKS, 1):
            stride, rate = strides.take(stride)
            outputs = recompute.unit(
                _block,
                outputs,
                _scaled(channels, options),
                stride,
                rate,
                number,
                recompute=mode.recompute,
            )
            stages[strides.full] = outputs
    return Features(outputs, stages, keras.low_level(stages, options.output_stride))


def _block(inputs, filters, stride, rate, number):
    outputs = _convolve(
        inputs, 3, stride, rate, name=f"conv_dw_{number}", convolution=layers.depthwise_conv2d
    )
    return _convolve(outputs, filters, 1, name=f"conv_pw_{number}")


def _convolve(inputs, *settings, name, **more):
    return keras.convolve(
        inputs,
        *settings,
        use_biases=False,
        activation_fn=tf.nn.relu6,
        scope=name,
        norm_scope=f"{name}_bn",
        **more,
    )


def _scaled(channels: int, options: NetworkOptions) -> int:
    return max(1, int(channels * options.depth_multiplier))


VARIANTS = {
    "mobilenet": Backbone(
        scope=_SCOPE,
        build=build,
        **NORMALIZATIONS["tf"]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels={2: 64, 4: 128, 8: 256, 16: 512, 32: 1024},
        low_level_strides=(4, 8, 16),
        takes=frozenset(["depth_multiplier"]),
    )
}
