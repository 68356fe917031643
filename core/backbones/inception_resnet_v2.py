"""Inception-ResNet-v2 (arXiv 1602.07261) as the Keras segmentation libraries have it.

Every layer is padded as TensorFlow's SAME does, and layers without a name have the numbers that
Keras gives them. Strides past the output stride become atrous rates, those of pools too.
"""

from __future__ import annotations

from core import layers
from core.backbones import NORMALIZATIONS, Backbone, Features, inception, keras
from options.network import NetworkOptions
from utils.compat import tf

_SCOPE = "inception_resnet_v2"

# Kind of block -> (number of blocks, share of the branches in the sum).
_BLOCKS = {"block35": (10, 0.17), "block17": (20, 0.1), "block8": (10, 0.2)}


def build(images: tf.Tensor, options: NetworkOptions, mode: layers.Mode) -> Features:
    """Builds the network up to `conv_7b`; see `Backbone.build`."""
    make = inception.Branches(options.output_stride, mode.recompute)
    with tf.variable_scope(_SCOPE), inception.arg_scope(mode):
        outputs, stages = make.stem(images)
        outputs = _blocks(make, make.unit(_mixed_5b, outputs), "block35")
        stages[make.strides.full] = outputs
        outputs = _blocks(make, make.unit(_mixed_6a, outputs), "block17")
        stages[make.strides.full] = outputs
        outputs = _blocks(make, make.unit(_mixed_7a, outputs), "block8")
        outputs = keras.convolve(
            outputs, 1536, 1, use_biases=False, scope="conv_7b", norm_scope="conv_7b_bn"
        )
        stages[make.strides.full] = outputs
    return Features(outputs, stages, keras.low_level(stages, options.output_stride))


def _mixed_5b(make, inputs):
    return tf.concat(
        [
            make.convolve(inputs, 96),
            make.chain(inputs, (48,), (64, 5)),
            make.chain(inputs, (64,), (96, 3), (96, 3)),
            make.pooled(inputs, 64),
        ],
        3,
    )


def _mixed_6a(make, inputs):
    rate, placement = make.strides.rate, make.strides.take(2)
    return tf.concat(
        [
            make.convolve(inputs, 384, 3, placement),
            make.chain(inputs, (256,), (256, 3, (1, rate)), (384, 3, placement)),
            make.max_pool(inputs, placement),
        ],
        3,
    )


def _mixed_7a(make, inputs):
    rate, placement = make.strides.rate, make.strides.take(2)
    return tf.concat(
        [
            make.chain(inputs, (256,), (384, 3, placement)),
            make.chain(inputs, (256,), (288, 3, placement)),
            make.chain(inputs, (256,), (288, 3, (1, rate)), (320, 3, placement)),
            make.max_pool(inputs, placement),
        ],
        3,
    )


def _blocks(make, outputs, kind):
    """Builds all residual blocks of a kind."""
    count, scale = _BLOCKS[kind]
    for number in range(1, count + 1):
        # The last block of all is neither scaled nor activated.
        is_last = (kind, number) == ("block8", count)
        outputs = make.unit(
            _block, outputs, kind, f"{kind}_{number}_conv", 1.0 if is_last else scale, not is_last
        )
    return outputs


def _block(make, inputs, kind, scope, scale, activates):
    mixed = tf.concat(_BRANCHES[kind](make, inputs), 3)
    change = layers.conv2d(
        mixed,
        inputs.shape.as_list()[3],
        1,
        activation_fn=None,
        normalizer_fn=None,
        scope=scope,
    )
    outputs = inputs + change * scale
    return tf.nn.relu(outputs) if activates else outputs


def _branches_35(make, inputs) -> list:
    return [
        make.convolve(inputs, 32),
        make.chain(inputs, (32,), (32, 3)),
        make.chain(inputs, (32,), (48, 3), (64, 3)),
    ]


def _branches_17(make, inputs) -> list:
    return [make.convolve(inputs, 192), make.chain(inputs, (128,), (160, (1, 7)), (192, (7, 1)))]


def _branches_8(make, inputs) -> list:
    return [make.convolve(inputs, 192), make.chain(inputs, (192,), (224, (1, 3)), (256, (3, 1)))]


_BRANCHES = {"block35": _branches_35, "block17": _branches_17, "block8": _branches_8}

VARIANTS = {
    "inception_resnet_v2": Backbone(
        scope=_SCOPE,
        build=build,
        **NORMALIZATIONS["tf"]._asdict(),
        batch_norm_decay=keras.BATCH_NORM_DECAY,
        channels={2: 64, 4: 192, 8: 320, 16: 1088, 32: 1536},
        low_level_strides=(4, 8, 16),
    )
}
