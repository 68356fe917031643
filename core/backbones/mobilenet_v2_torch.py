"""MobileNetV2 of torchvision (arXiv 1801.04381): the same padding on both sides, all 19 features.

Variables are named as in torchvision, initial values are its own: kernels are normal with variance
2 / fan-out (arXiv 1502.01852).
"""

from __future__ import annotations

from core import layers
from core.backbones import STANDARDIZED_MEAN, Backbone, Features, standardize
from core.backbones.mobilenet_v2 import BLOCKS, STEM_STRIDE, placements
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "mobilenet_v2_torch"
_BATCH_NORM_DECAY = 0.9
_BATCH_NORM_EPSILON = 1e-5
_STEM_CHANNELS, _LAST_CHANNELS = 32, 1280
_LOW_LEVEL_STRIDES = (4, 8, 16)
_KERNELS = "untruncated_normal"


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network up to its last 1x1 convolution.

    Args:
      images: Normalized float32 [N, h, w, 3].
      options: The network; its output stride is used.
      mode: What the graph is for.
    """
    stages, full_stride = {}, STEM_STRIDE
    with tf.variable_scope(_SCOPE), layers.arg_scope(
        mode,
        decay=_BATCH_NORM_DECAY,
        epsilon=_BATCH_NORM_EPSILON,
        weights_initializer=tf.variance_scaling_initializer(2.0, "fan_out", _KERNELS),
    ):
        # [N, h / 2, w / 2, 32]
        outputs = _convolve(images, _STEM_CHANNELS, 3, STEM_STRIDE, scope="features/0")
        strides = placements(BLOCKS, options.output_stride)
        for number, (block, (stride, rate)) in enumerate(zip(BLOCKS, strides), 1):
            outputs = recompute.unit(
                _inverted_residual,
                outputs,
                block,
                stride,
                rate,
                f"features/{number}",
                recompute=mode.recompute,
            )
            full_stride *= block.stride
            stages[full_stride] = outputs
        # [N, h / output stride, w / output stride, 1280]
        outputs = _convolve(outputs, _LAST_CHANNELS, 1, scope=f"features/{len(BLOCKS) + 1}")
    stages[full_stride] = outputs
    low_level = {
        stride: stages[stride] for stride in _LOW_LEVEL_STRIDES if stride < options.output_stride
    }
    return Features(outputs, stages, low_level)


def _inverted_residual(inputs, block, stride, rate, scope):
    """Expands, filters each channel, projects; adds the input where shapes agree."""
    outputs, channels = inputs, inputs.shape.as_list()[3]
    with tf.variable_scope(scope), tf.variable_scope("conv"):
        place = 0
        if block.expansion > 1:
            outputs = _convolve(outputs, channels * block.expansion, 1, scope="0")
            place = 1
        outputs = layers.depthwise_conv2d_batch_norm(
            outputs,
            3,
            stride,
            rate,
            # PyTorch's fan-out counts the channels, which are TensorFlow's fan-in.
            weights_initializer=tf.variance_scaling_initializer(2.0, "fan_in", _KERNELS),
            activation_fn=tf.nn.relu6,
            scope=f"{place}/0",
            norm_scope=f"{place}/1",
        )
        outputs = layers.conv2d_batch_norm(
            outputs,
            block.channels,
            1,
            activation_fn=None,
            scope=str(place + 1),
            norm_scope=str(place + 2),
        )
        return outputs + inputs if stride == 1 and channels == block.channels else outputs


def _convolve(inputs, filters, kernel_size, stride=1, *, scope):
    return layers.conv2d_batch_norm(
        inputs,
        filters,
        kernel_size,
        stride,
        activation_fn=tf.nn.relu6,
        scope=f"{scope}/0",
        norm_scope=f"{scope}/1",
    )


VARIANTS = {
    "mobilenet_v2_torch": Backbone(
        scope=_SCOPE,
        build=build,
        normalize=standardize,
        pad_color=STANDARDIZED_MEAN,
        batch_norm_decay=_BATCH_NORM_DECAY,
        channels={2: 16, 4: 24, 8: 32, 16: 96, 32: _LAST_CHANNELS},
        low_level_strides=_LOW_LEVEL_STRIDES,
    )
}
