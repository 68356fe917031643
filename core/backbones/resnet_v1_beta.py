"""The `_beta` ResNets: three 3x3 convolutions for a stem instead of one 7x7, inputs in [-1, 1].

Their variable scope is that of the plain ones; checkpoints of both cannot be mixed up, because the
stem's variables have other names.
"""

from __future__ import annotations

import functools

from core import layers
from core.backbones import MIDDLE_GREY, resnet_v1, scale_to_unit_range


def _stem(images, width):
    """Returns features [N, h / 2, w / 2, 2 * width]."""
    outputs = layers.conv2d_same(images, width, 3, 2, scope="conv1_1")
    outputs = layers.conv2d_same(outputs, width, 3, scope="conv1_2")
    return layers.conv2d_same(outputs, 2 * width, 3, scope="conv1_3")


VARIANTS = {
    network.scope + "_beta": resnet_v1.variant(
        network, functools.partial(_stem, width=width), 2 * width, scale_to_unit_range, MIDDLE_GREY
    )
    for network, width in (
        (resnet_v1.RESNET_18, 16),
        (resnet_v1.RESNET_50, 64),
        (resnet_v1.RESNET_101, 64),
    )
}
