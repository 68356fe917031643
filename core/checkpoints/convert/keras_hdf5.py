"""Weights in Keras' HDF5 files: of Keras 2 and 3, a whole model or its weights alone.

Arrays are found by the names of their layers, so that the order of layers, and layers that another
network does not have, do not matter. Three layouts exist:

- Keras 2, and whole models of Keras 3: a group for each layer, whose attribute `weight_names` lists
  its arrays; in a whole model these groups are in the group `model_weights`;
- weights of Keras 3: groups named after the class of a layer, with numbered arrays in `vars`, whose
  attribute `name` is the layer's name.
"""

from __future__ import annotations

import json
import re

import h5py
import numpy as np

from utils.errors import UserError, reason_of

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# Class of a layer as groups are named in weights of Keras 3 -> its arrays in order.
_ARRAYS = {
    "conv2d": ("kernel", "bias"),
    "conv2d_transpose": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
}
# Groups that hold no weights of the network.
_OTHERS = ("optimizer", "seed_generator", "top_level_model_weights")


def is_hdf5(path: str) -> bool:
    """Whether a file is HDF5, whatever its name."""
    with open(path, "rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def read(path: str) -> dict:
    """Returns `LAYER/ARRAY` -> array, the names as Keras 2 has them (`conv1/kernel`).

    Raises:
      UserError: If the file is not readable, or not written by Keras.
    """
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            if "layer_names" in group.attrs or "layer_names0" in group.attrs:
                arrays = _of_named_layers(group, _classes(file))
            else:
                arrays = _of_classes(group, path)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read as HDF5 ({reason_of(error)}).") from error
    if not arrays:
        raise UserError(f"{path} holds no weights of Keras' layers.")
    return arrays


# Layers by name.


def _of_named_layers(group, classes) -> dict:
    arrays = {}
    for layer in _strings(group.attrs, "layer_names"):
        names = _strings(group[layer].attrs, "weight_names")
        scopes = {name.rsplit("/", 1)[0] for name in names}
        for name in names:
            scope, last = name.split(":")[0].rsplit("/", 1)
            owner = _owner(layer, scope, len(scopes), classes)
            if classes.get(owner) == "DepthwiseConv2D" and last == "kernel":
                last = "depthwise_kernel"
            arrays[f"{owner}/{last}"] = np.asarray(group[layer][name])
    return arrays


def _owner(layer, scope, count, classes) -> str:
    """Returns the layer that an array belongs to: the group's, or one of a model inside it.

    Names of layers may have slashes (`conv1/conv`). Keras 2 may number the scope of a layer that
    was built again (`conv1_1`).
    """
    if count == 1 and re.fullmatch(rf"(.*/)?{re.escape(layer)}(_\d+)?", scope):
        return layer
    parts = scope.split("/")
    ends = ["/".join(parts[first:]) for first in range(len(parts))]
    return next((end for end in ends if end in classes), ends[-1])


def _strings(attributes, name) -> list:
    """Returns a list of strings; long ones are in several attributes, `name0`, `name1` ..."""
    if name in attributes:
        values = list(attributes[name])
    else:
        values, number = [], 0
        while f"{name}{number}" in attributes:
            values += list(attributes[f"{name}{number}"])
            number += 1
    return [_string(value) for value in values]


def _string(value) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _classes(file) -> dict:
    """Returns layer -> class from the description of a whole model; else nothing."""
    if "model_config" not in file.attrs:
        return {}
    return dict(_named_classes(json.loads(_string(file.attrs["model_config"]))))


def _named_classes(description):
    if isinstance(description, dict):
        config = description.get("config")
        if "class_name" in description and isinstance(config, dict) and "name" in config:
            yield config["name"], description["class_name"]
        for value in description.values():
            yield from _named_classes(value)
    elif isinstance(description, list):
        for value in description:
            yield from _named_classes(value)


# Layers by class.


def _of_classes(group, path) -> dict:
    arrays = {}
    for name, child in group.items():
        if not isinstance(child, h5py.Group) or name in _OTHERS:
            continue
        found = child.get("vars")
        if found is not None and len(found):
            arrays.update(_numbered(found, name, path))
        arrays.update(_of_classes(child, path))
    return arrays


def _numbered(found, group_name, path) -> dict:
    """Returns the arrays of a layer, which are numbered in the order of its class."""
    class_name = re.sub(r"_\d+$", "", group_name)
    if "name" not in found.attrs:
        raise UserError(
            f"{path} has no names of layers, since its Keras is too old to write them; save the "
            "whole model as .h5 instead."
        )
    names = _ARRAYS.get(class_name, ())
    if class_name == "batch_normalization":
        # Without scale there is no gamma.
        names = _BATCH_NORM[-len(found) :]
    if len(found) > len(names):
        raise UserError(
            f"{path}: {class_name} with {len(found)} arrays is no layer whose arrays are known."
        )
    layer = _string(found.attrs["name"])
    return {f"{layer}/{names[int(number)]}": np.asarray(found[number]) for number in found}
