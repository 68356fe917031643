"""Inception-v3 (arXiv 1512.00567) as the Keras segmentation libraries have it.

Every layer is padded as TensorFlow's SAME does, and layers have the numbers that Keras gives them.
Strides past the output stride become atrous rates, those of pools too.
"""

from __future__ import annotations

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, inception, keras
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "inception_v3"
# Channels of the pooled branch of mixed0 to mixed2, and of the 7x7 branches of mixed4 to mixed7.
_POOLED = (32, 64, 64)
_WIDTHS = (128, 160, 160, 192)
_LAST_BLOCKS = 2


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network up to `mixed10`; see `Backbone.build`."""
    make = inception.Branches(options.output_stride, mode.recompute)
    with tf.variable_scope(_SCOPE), inception.arg_scope(mode):
        outputs, stages = make.stem(images)
        for filters in _POOLED:
            outputs = make.unit(_block_a, outputs, filters)
        stages[make.strides.full] = outputs
        outputs = make.unit(_reduction_a, outputs)
        for width in _WIDTHS:
            outputs = make.unit(_block_b, outputs, width)
        stages[make.strides.full] = outputs
        outputs = make.unit(_reduction_b, outputs)
        for _ in range(_LAST_BLOCKS):
            outputs = make.unit(_block_c, outputs)
        stages[make.strides.full] = outputs
    return Features(outputs, stages, keras.low_level(stages, options.output_stride))


def _block_a(make, inputs, pooled):
    return tf.concat(
        [
            make.convolve(inputs, 64),
            make.chain(inputs, (48,), (64, 5)),
            make.chain(inputs, (64,), (96, 3), (96, 3)),
            make.pooled(inputs, pooled),
        ],
        3,
    )


def _reduction_a(make, inputs):
    rate, placement = make.strides.rate, make.strides.take(2)
    return tf.concat(
        [
            make.convolve(inputs, 384, 3, placement),
            make.chain(inputs, (64,), (96, 3, (1, rate)), (96, 3, placement)),
            make.max_pool(inputs, placement),
        ],
        3,
    )


def _block_b(make, inputs, width):
    row, column = (1, 7), (7, 1)
    return tf.concat(
        [
            make.convolve(inputs, 192),
            make.chain(inputs, (width,), (width, row), (192, column)),
            make.chain(
                inputs, (width,), (width, column), (width, row), (width, column), (192, row)
            ),
            make.pooled(inputs, 192),
        ],
        3,
    )


def _reduction_b(make, inputs):
    rate, placement = make.strides.rate, make.strides.take(2)
    dense = (1, rate)
    return tf.concat(
        [
            make.chain(inputs, (192,), (320, 3, placement)),
            make.chain(
                inputs,
                (192,),
                (192, (1, 7), dense),
                (192, (7, 1), dense),
                (192, 3, placement),
            ),
            make.max_pool(inputs, placement),
        ],
        3,
    )


def _block_c(make, inputs):
    return tf.concat(
        [
            make.convolve(inputs, 320),
            _split(make, make.convolve(inputs, 384)),
            _split(make, make.chain(inputs, (448,), (384, 3))),
            make.pooled(inputs, 192),
        ],
        3,
    )


def _split(make, inputs):
    return tf.concat([make.convolve(inputs, 384, size) for size in ((1, 3), (3, 1))], 3)


VARIANTS = {
    "inception_v3": Backbone(
        scope=_SCOPE,
        build=build,
        **NORMALIZATIONS["tf"]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels={2: 64, 4: 192, 8: 288, 16: 768, 32: 2048},
        low_level_strides=(4, 8, 16),
    )
}
