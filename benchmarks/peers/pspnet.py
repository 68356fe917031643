"""PSPNet on the stride-8 features of a pre-activation ResNet-50 in Keras (arXiv 1612.01105)."""

from __future__ import annotations

import keras
from keras import layers

from benchmarks.peers import keras_resnet as resnet

_FILTERS, _FACTOR = 512, 8


def build(image_size, channels: int) -> keras.Model:
    """Returns the network."""
    images = resnet.inputs(image_size)
    inputs = resnet.features(images, (3, 4, 6, 3), is_bottleneck=True)[_FACTOR]
    levels = [inputs]
    for level in (1, 2, 3, 6):
        window = (inputs.shape[1] // level, inputs.shape[2] // level)
        pooled = resnet.block(layers.AveragePooling2D(window)(inputs), _FILTERS, 1)
        levels.append(layers.UpSampling2D(window, interpolation="bilinear")(pooled))
    outputs = resnet.block(layers.Concatenate()(levels), _FILTERS, 1)
    logits = resnet.classify(outputs, channels)
    # The model has only the layers that its outputs need: the backbone ends at stride 8.
    return keras.Model(images, layers.UpSampling2D(_FACTOR, interpolation="bilinear")(logits))
