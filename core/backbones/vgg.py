"""VGG-16 and VGG-19 (arXiv 1409.1556), with the names of Keras: biases, no batch norm.

A stage is what its pooling gets, so that decoders see features of a stride before they lose it; the
output is the last pooling. Pools past the output stride look at every pixel, and the convolutions
after them become atrous.
"""

from __future__ import annotations

import functools

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, keras
from core.layers import recompute
from options.network import NetworkOptions
from utils.compat import tf

_WIDTHS = (64, 128, 256, 512, 512)
# Stride -> channels; a block loses the stride of the next one.
_CHANNELS = {2: 128, 4: 256, 8: 512, 16: 512, 32: 512}

# Name -> convolutions of each block.
_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def build(
    images: tf.Tensor,
    options: NetworkOptions,
    mode: layers.Mode,
    *,
    scope: str,
    convolutions: tuple[int, ...],
) -> Features:
    """Builds the blocks; see `Backbone.build`.

    Args:
      images: Normalized float32 [N, h, w, 3].
      options: The network; the output stride is used.
      mode: What the graph is for.
      scope: Variable scope.
      convolutions: Number of convolutions of each block.
    """
    outputs, strides, stages = images, keras.Strides(options.output_stride), {}
    with tf.variable_scope(scope), layers.arg_scope(mode, decay=keras.BATCH_NORM_DECAY):
        for block, (count, width) in enumerate(zip(convolutions, _WIDTHS), 1):
            for number in range(1, count + 1):
                outputs = recompute.unit(
                    _convolve,
                    outputs,
                    width,
                    strides.rate,
                    f"block{block}_conv{number}",
                    recompute=mode.recompute,
                )
            stages[strides.full] = outputs
            stride, rate = strides.take(2)
            outputs = layers.max_pool(outputs, 2, stride, rate=rate)
        stages = {**{stride: stages[stride] for stride in (2, 4, 8, 16)}, 32: outputs}
    return Features(outputs, stages, keras.low_level(stages, options.output_stride))


def _convolve(inputs, filters, rate, scope):
    return layers.conv2d(inputs, filters, 3, rate=rate, normalizer_fn=None, scope=scope)


VARIANTS = {
    name: Backbone(
        scope=name,
        build=functools.partial(build, scope=name, convolutions=convolutions),
        **NORMALIZATIONS["caffe"]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels=_CHANNELS,
        low_level_strides=(4, 8, 16),
    )
    for name, convolutions in _CONVOLUTIONS.items()
}
