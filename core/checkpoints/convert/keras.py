"""Weights of Keras networks: keras.applications, segmentation_models and what is built on them.

The variables of these networks have the names of Keras' layers, in the scope of their part of the
network; only their last parts differ. So a network finds its arrays by rule:

- layers that Keras numbers (`conv2d_7`) are counted from 1, as in a fresh process, whatever number
  the file starts with;
- a convolution in groups is one layer for each group in the original, with consecutive numbers;
- the classifier has the name of the architecture's last layer, or is the last numbered convolution.
"""

from __future__ import annotations

import os
import re

import numpy as np

from core.checkpoints.convert import Network, Source, keras_hdf5
from utils.errors import UserError

_LAST_PARTS = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}
_NUMBERED = re.compile(r"(conv2d|batch_normalization|depthwise_conv2d|separable_conv2d)(?:_(\d+))?")
_CLASSIFIERS = ("final_conv", "logits_semantic", "custom_logits_semantic")
_SHOWN_NAMES = 8


def convert(path: str, shapes: dict, backbone_scope: str, classifier: str) -> dict:
    """Returns variable name -> array of what a file holds of a network.

    A file of a backbone alone gives the variables of the backbone.

    Args:
      path: A file of Keras, HDF5.
      shapes: Variable name -> shape of the network, as lists.
      backbone_scope: Scope of its backbone.
      classifier: Scope of its classifier.

    Raises:
      UserError: If an array is missing or has another shape; a classifier for another number of
        classes is returned as it is.
    """
    arrays = _renumbered(keras_hdf5.read(path))
    names = {name: _original(name, classifier, arrays) for name in shapes}
    has_head = any(
        original in arrays
        for name, original in names.items()
        if not name.startswith((backbone_scope + "/", classifier + "/"))
    )
    found, problems = {}, []
    for name, shape in shapes.items():
        if not has_head and not name.startswith(backbone_scope + "/"):
            continue
        array = _fitting(arrays, names[name], shape)
        if array is None:
            problems.append(f"  {names[name]}: not in the file")
        elif list(array.shape) != list(shape) and not name.startswith(classifier + "/"):
            problems.append(f"  {names[name]}: {_text(array.shape)}, not {_text(shape)}")
        else:
            found[name] = array
    if problems:
        shown = problems[:_SHOWN_NAMES]
        if len(problems) > len(shown):
            shown.append(f"  and {len(problems) - len(shown)} more")
        raise UserError(f"{path} does not fit the network:\n" + "\n".join(shown))
    return found


def _text(shape) -> str:
    return "x".join(str(size) for size in shape)


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
    return f"{layer}/{_LAST_PARTS.get(last, last)}"


def _last_layer(arrays) -> str:
    for layer in _CLASSIFIERS:
        if f"{layer}/kernel" in arrays:
            return layer
    numbers = [
        int(match[1]) for match in (re.match(r"conv2d_(\d+)/", name) for name in arrays) if match
    ]
    return f"conv2d_{max(numbers, default=1)}"


def _fitting(arrays, name, shape):
    """Returns an array, the kernels of groups as one, dense ones as 1x1; None if there is none."""
    if name not in arrays:
        return None
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
    return Source(description=description, fits=_fits, convert=_of_network)


def _fits(path: str) -> bool:
    return os.path.isfile(path) and keras_hdf5.is_hdf5(path)


def _of_network(path: str, built: Network) -> tuple:
    # What is left in a file, such as layers of whole images, has no names of this project.
    return convert(path, built.shapes, built.backbone, built.classifiers[0]), []


VARIANTS = {
    "keras_applications": _source("file of tf.keras.applications' weights (HDF5)"),
    "segmentation_models": _source("file of segmentation_models' weights (HDF5)"),
    "musket": _source("file of the Keras experiment pipeline's weights (HDF5)"),
}
