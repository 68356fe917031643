"""DeepLabV3 as torchvision has it: ASPP, a 3x3 convolution, classifier, and FCN's auxiliary head.

Source: arXiv 1706.05587, and torchvision/models/segmentation/deeplabv3.py. Variables are named as
there, initial values are its own, as in `fcn`.
"""

from __future__ import annotations

from core import layers
from core.architectures import Outputs, fcn
from core.backbones import Features
from options.network import NetworkSpec
from utils.compat import tf

_FILTERS = 256


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds the head, and the auxiliary one in training; see `Architecture.build`."""
    del image_size, crop_size
    options = spec.architecture
    with fcn.arg_scope(spec, mode):
        with tf.variable_scope(fcn.SCOPE):
            with tf.variable_scope("0"):
                outputs = _pyramid(features.output, options, mode)
            outputs = layers.conv2d_batch_norm(outputs, _FILTERS, 3, scope="1", norm_scope="2")
            logits = fcn.classifier(outputs, channels)
        weight = options.deeplab_torch_aux_loss_weight
        auxiliary = fcn.auxiliary_head(features, channels, weight, mode)
    return Outputs.of(logits, **auxiliary)


def _pyramid(inputs, options, mode):
    """Returns the projection of all branches, [N, h, w, 256]."""
    branches = [_branch(inputs, 0, 1, 1)]
    for number, rate in enumerate(options.deeplab_torch_atrous_rates, 1):
        branches.append(_branch(inputs, number, 3, rate))
    branches.append(_pooling(inputs, len(branches)))
    with tf.variable_scope("project"):
        # [N, h, w, 1280] with three rates
        outputs = layers.conv2d_batch_norm(
            tf.concat(branches, 3), _FILTERS, 1, scope="0", norm_scope="1"
        )
        return layers.dropout(outputs, 1.0 - options.deeplab_torch_dropout, mode)


def _branch(inputs, number, kernel_size, rate):
    with tf.variable_scope(f"convs/{number}"):
        return layers.conv2d_batch_norm(
            inputs, _FILTERS, kernel_size, rate=rate, scope="0", norm_scope="1"
        )


def _pooling(inputs, number):
    """Returns the mean of the image, projected and spread over it again."""
    with tf.variable_scope(f"convs/{number}"):
        outputs = tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        outputs = layers.conv2d_batch_norm(outputs, _FILTERS, 1, scope="1", norm_scope="2")
        return layers.resize_bilinear(outputs, layers.spatial_size(inputs), align_corners=False)


VARIANTS = {"deeplab_torch": fcn.record(build)}
