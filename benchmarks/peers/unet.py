"""U-Net on a pre-activation ResNet-34 in Keras (arXiv 1505.04597)."""

from __future__ import annotations

import keras
from keras import layers

from benchmarks.peers import keras_resnet as resnet

_FILTERS = (256, 128, 64, 32, 16)


def build(image_size, channels: int) -> keras.Model:
    """Returns the network."""
    images = resnet.inputs(image_size)
    features = resnet.features(images, (3, 4, 6, 3), is_bottleneck=False)
    outputs = features[32]
    for filters, stride in zip(_FILTERS, (16, 8, 4, 2, 1)):
        outputs = layers.UpSampling2D(2)(outputs)
        if stride in features:
            outputs = layers.Concatenate()([outputs, features[stride]])
        for _ in range(2):
            outputs = resnet.block(outputs, filters, 3)
    return keras.Model(images, resnet.classify(outputs, channels))
