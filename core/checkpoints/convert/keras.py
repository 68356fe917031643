"""Weights of Keras networks: keras.applications, segmentation_models and what is built on them.

The variables of these networks have the names of Keras' layers, in the scope of their part of the
network; only their last parts differ. So a network finds its arrays by rule:

- layers that Keras numbers (`conv2d_7`) are counted from 1, as in a fresh process, whatever number
  the file starts with;
- MobileNetV2 has the names of `tf.keras.applications`, in DeepLab's networks other ones;
- a convolution in groups is one layer for each group in the original, with consecutive numbers;
- the classifier has the name of the architecture's last layer, or is the last numbered convolution.
"""

from __future__ import annotations

import os
import re

import numpy as np

from core.checkpoints.convert import Network, Source, keras_hdf5

_LAST_PARTS = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}
_NUMBERED = re.compile(r"(conv2d|batch_normalization|depthwise_conv2d|separable_conv2d)(?:_(\d+))?")
_CLASSIFIERS = ("final_conv", "logits_semantic", "custom_logits_semantic")
# MobileNetV2's layers: a pattern of Keras' name -> the name in DeepLab's networks.
_NAMES_OF_DEEPLAB = (
    (r"^block_(\d+)_", r"expanded_conv_\1_"),
    (r"^bn_Conv1$", "Conv_BN"),
    (r"^Conv1$", "Conv"),
)


def name_in_deeplab(layer: str) -> str:
    """Returns the name that a layer of a backbone has in DeepLab's networks for Keras."""
    for pattern, name in _NAMES_OF_DEEPLAB:
        layer = re.sub(pattern, name, layer)
    return layer


def convert(path: str, built: Network) -> tuple:
    """Returns arrays by variable, and no names of others; see `Source`.

    What is left in a file, such as layers of whole images, has no names of this project. A file of
    a backbone alone gives the variables of the backbone.
    """
    arrays, classifier = _renumbered(keras_hdf5.read(path)), built.classifiers[0]
    names = {name: _original(name, classifier, arrays) for name in built.shapes}
    has_head = any(
        original in arrays
        for name, original in names.items()
        if not name.startswith((built.backbone + "/", classifier + "/"))
    )
    return {
        name: _fitting(arrays, names[name], shape)
        for name, shape in built.shapes.items()
        if names[name] in arrays and (has_head or name.startswith(built.backbone + "/"))
    }, []


def _renumbered(arrays: dict) -> dict:
    """Returns the arrays with the numbers of a fresh process of Keras 2."""
    numbers = {}
    for layer in {name.rsplit("/", 1)[0] for name in arrays}:
        match = _NUMBERED.fullmatch(layer)
        if match:
            numbers.setdefault(match[1], set()).add(int(match[2] or 0))
    ranks = {
        f"{kind}_{number}" if number else kind: f"{kind}_{rank}"
        for kind, found in numbers.items()
        for rank, number in enumerate(sorted(found), 1)
    }
    renamed = {}
    for name, array in arrays.items():
        layer, last = name.rsplit("/", 1)
        renamed[f"{ranks.get(layer, layer)}/{last}"] = array
    return renamed


def _original(name, classifier, arrays) -> str:
    """Returns the name that the array of a variable has in the file."""
    layer, last = name.rsplit("/", 1)
    layer = _last_layer(arrays) if layer == classifier else layer.split("/", 1)[1]
    last = _LAST_PARTS.get(last, last)
    # Names of Keras 3 have no slashes.
    layers = (layer, name_in_deeplab(layer), layer.replace("/", "_"))
    names = [f"{each}/{last}" for each in layers]
    return next((each for each in names if each in arrays), names[0])


def _last_layer(arrays) -> str:
    for layer in _CLASSIFIERS:
        if f"{layer}/kernel" in arrays:
            return layer
    numbers = [
        int(match[1]) for match in (re.match(r"conv2d_(\d+)/", name) for name in arrays) if match
    ]
    return f"conv2d_{max(numbers, default=1)}"


def _fitting(arrays, name, shape):
    """Returns an array, the kernels of groups as one, dense ones as 1x1."""
    array = arrays[name]
    if array.ndim == 2 and list(shape) == [1, 1, *array.shape]:
        return array.reshape(shape)
    match = re.fullmatch(r"conv2d_(\d+)/kernel", name)
    is_group = (
        match
        and list(array.shape[:3]) == list(shape[:3])
        and shape[3] > array.shape[3]
        and shape[3] % array.shape[3] == 0
    )
    if not is_group:
        return array
    first, count = int(match[1]), shape[3] // array.shape[3]
    parts = [arrays.get(f"conv2d_{first + number}/kernel") for number in range(count)]
    if any(part is None or part.shape != array.shape for part in parts):
        return array
    return np.concatenate(parts, axis=-1)


def _source(description: str) -> Source:
    return Source(description=description, fits=_fits, convert=convert)


def _fits(path: str) -> bool:
    return os.path.isfile(path) and keras_hdf5.is_hdf5(path)


VARIANTS = {
    "keras_applications": _source("file of tf.keras.applications' weights (HDF5)"),
    "segmentation_models": _source("file of segmentation_models' weights (HDF5)"),
    "musket": _source("file of the Keras experiment pipeline's weights (HDF5)"),
}
