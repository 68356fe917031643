"""The pre-activation ResNets of the Keras segmentation libraries (arXiv 1603.05027), and layers."""

from __future__ import annotations

from keras import layers

_EPSILON = 2e-5


def inputs(image_size):
    """Returns the images, [N, h, w, 3] in 0 to 255."""
    return layers.Input((*image_size, 3))


def convolve(tensor, filters: int, size: int, stride: int = 1):
    """Convolves with the same padding on both sides and without biases."""
    if stride > 1 and size > 1:
        tensor = layers.ZeroPadding2D(size // 2)(tensor)
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(filters, size, stride, padding, use_bias=False)(tensor)


def activate(tensor, epsilon: float = _EPSILON):
    """Normalizes a batch and applies ReLU."""
    return layers.Activation("relu")(layers.BatchNormalization(epsilon=epsilon)(tensor))


def block(tensor, filters: int, size: int):
    """Convolves, normalizes and activates, as the decoders do."""
    return activate(convolve(tensor, filters, size), epsilon=1e-3)


def classify(tensor, channels: int):
    """Returns logits by a 3x3 convolution."""
    return layers.Conv2D(channels, 3, padding="same")(tensor)


def features(images, units, is_bottleneck: bool) -> dict:
    """Returns stride -> features, those of stride 2 to 32 that the decoders read.

    Args:
      images: [N, h, w, 3].
      units: Number of units of each stage.
      is_bottleneck: Whether a unit is 1x1, 3x3, 1x1 (else two 3x3).
    """
    outputs = layers.BatchNormalization(scale=False, epsilon=_EPSILON)(images)
    outputs = activate(convolve(outputs, 64, 7, 2))
    found = {2: outputs}
    outputs = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(outputs))
    for stage, count in enumerate(units):
        for unit in range(count):
            stride = 2 if stage and not unit else 1
            outputs, activated = _unit(outputs, 64 * 2**stage, stride, not unit, is_bottleneck)
            if stage and not unit:
                found[2 * 2**stage] = activated
    found[32] = activate(outputs)
    return found


def _unit(tensor, width, stride, is_first, is_bottleneck):
    activated = activate(tensor)
    if is_bottleneck:
        channels = 4 * width
        branch = activate(convolve(activated, width, 1))
        branch = activate(convolve(branch, width, 3, stride))
        branch = convolve(branch, channels, 1)
    else:
        channels = width
        branch = activate(convolve(activated, width, 3, stride))
        branch = convolve(branch, width, 3)
    shortcut = convolve(activated, channels, 1, stride) if is_first else tensor
    return layers.Add()([branch, shortcut]), activated
