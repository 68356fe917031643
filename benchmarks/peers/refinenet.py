"""RefineNet on the ResNet-50 of Keras (arXiv 1611.06612), two blocks of two features each."""

from __future__ import annotations

import keras
from keras import layers

_BLOCKS = (
    ("conv5_block3_out", "conv4_block6_out"),
    ("conv3_block4_out", "conv2_block3_out"),
)
# Channels of a block's inputs / those of its units.
_SCALE = 4


def build(image_size, channels: int) -> keras.Model:
    """Returns the network."""
    resnet = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(*image_size, 3)
    )
    outputs = []
    for names in _BLOCKS:
        outputs = [_block(outputs + [resnet.get_layer(name).output for name in names])]
    resized = layers.Resizing(*image_size)(outputs[0])
    return keras.Model(resnet.input, layers.Conv2D(channels, 1)(resized))


def _block(inputs):
    """Residual units, fusion in the size of the largest, chained pooling, a residual unit."""
    width = min(tensor.shape[3] for tensor in inputs) // _SCALE
    adapted = [_residual(tensor, tensor.shape[3] // _SCALE) for tensor in inputs]
    fused = sorted((_convolve(tensor, width) for tensor in adapted), key=lambda one: one.shape[1])
    fused = [
        layers.Conv2DTranspose(width, 3, 2 ** (len(fused) - 1 - number), "same")(tensor)
        for number, tensor in enumerate(fused)
    ]
    pooled = layers.Add()(fused)
    terms = [layers.ReLU()(pooled)]
    for _ in range(2):
        pooled = _convolve(layers.MaxPooling2D(5, 1, "same")(pooled), width)
        terms.append(pooled)
    return _residual(layers.Add()(terms), width)


def _residual(tensor, width):
    shortcut = outputs = tensor
    if tensor.shape[3] != width:
        shortcut = layers.Conv2D(width, 1)(tensor)
    for _ in range(2):
        outputs = _convolve(layers.ReLU()(outputs), width)
    return layers.Add()([shortcut, outputs])


def _convolve(tensor, width):
    return layers.Conv2D(width, 3, padding="same")(tensor)
