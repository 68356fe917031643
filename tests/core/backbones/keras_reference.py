"""Writes what layers of a network of `tf.keras.applications` give, with weights by rule.

The command `python -m tests.core.backbones.keras_reference OUT.npz MODEL SETTINGS LAYER...`, with
the settings as JSON. It needs a process of its own: this project turns eager execution off, which
Keras 3 cannot do without.
"""

import importlib
import json
import os
import re
import sys

import numpy as np

from tests.golden import rules

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# The last part of a name in Keras -> in this project.
_LAST_PARTS = {"kernel": "weights", "bias": "biases"}

SIZE = (65, 97)


def image(size=SIZE) -> np.ndarray:
    """Returns the float32 batch of one image in [-1, 1] that both networks get."""
    return (rules.noise_image(7, *size)[np.newaxis] / 127.5 - 1.0).astype(np.float32)


def value(layer: str, last: str, shape) -> np.ndarray:
    """Returns a variable's value by the name of its layer, and its last part in this project."""
    return rules.variable_value(f"{layer}/{last}", shape)


def _last_part(layer, weight) -> str:
    last = weight.name
    if last == "kernel" and type(layer).__name__ == "DepthwiseConv2D":
        return "depthwise_weights"
    return _LAST_PARTS.get(last, last)


def _numbered_from_one(name) -> str:
    """Returns the name that Keras 2 gives a layer that Keras 3 numbers from none and 1."""
    match = re.match(r"(conv2d|batch_normalization)(?:_(\d+))?$", name)
    return f"{match.group(1)}_{int(match.group(2) or 0) + 1}" if match else name


def _pad_all(module):
    """Makes a network of Keras pad all its layers, as the segmentation libraries have it."""
    convolve, pool = module.conv2d_bn, module.layers.MaxPooling2D
    module.conv2d_bn = lambda *inputs, padding=None, **settings: convolve(*inputs, **settings)
    module.layers.MaxPooling2D = lambda *size, padding=None, **settings: pool(
        *size, padding="same", **settings
    )


def main(target, model, settings, *names):
    """Builds a model and writes layer -> output.

    The settings may have `size` of the image, and `pads_all` of an Inception.
    """
    keras = importlib.import_module("tensorflow").keras
    build = getattr(keras.applications, model)
    settings = json.loads(settings)
    size = settings.pop("size", SIZE)
    if settings.pop("pads_all", False):
        _pad_all(sys.modules[build.__module__])
    network = build(weights=None, include_top=False, input_shape=(*size, 3), **settings)
    for layer in network.layers:
        name = _numbered_from_one(layer.name)
        layer.set_weights(
            [value(name, _last_part(layer, item), item.shape) for item in layer.weights]
        )
    outputs = [network.get_layer(name).output for name in names]
    values = keras.Model(network.input, outputs)(image(size))
    np.savez(target, **dict(zip(names, (np.asarray(item) for item in values))))


if __name__ == "__main__":
    main(*sys.argv[1:])
