"""FPN on a pre-activation ResNet-50 in Keras (arXiv 1901.02446)."""

from __future__ import annotations

import keras
from keras import layers

from benchmarks.peers import keras_resnet as resnet

_FILTERS = 256


def build(image_size, channels: int) -> keras.Model:
    """Returns the network."""
    images = resnet.inputs(image_size)
    features = resnet.features(images, (3, 4, 6, 3), is_bottleneck=True)
    above, levels = None, []
    for stride in (32, 16, 8, 4):
        level = resnet.block(features[stride], _FILTERS, 1)
        if above is not None:
            level = layers.Add()([level, layers.UpSampling2D(2)(above)])
        above = level
        for _ in range(2):
            level = resnet.block(level, _FILTERS // 2, 3)
        levels.append(_enlarged(level, stride // 4))
    outputs = layers.Concatenate()(levels[::-1])
    outputs = resnet.block(outputs, 2 * _FILTERS, 3)
    return keras.Model(images, _enlarged(resnet.classify(outputs, channels), 4))


def _enlarged(tensor, factor):
    if factor == 1:
        return tensor
    return layers.UpSampling2D(factor, interpolation="bilinear")(tensor)
