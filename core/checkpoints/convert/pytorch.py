"""Weights of PyTorch networks whose modules give our variables their names.

The name of an entry is that of a variable with dots, where the backbone may have a prefix of its
own: `resnet50_torch/layer1/0/conv1/weights` is `backbone.layer1.0.conv1.weight` in a segmentation
network of torchvision, `layer1.0.conv1.weight` in a classification network.
"""

from __future__ import annotations

import os

import numpy as np

from core.checkpoints.convert import Network, Source, state_dict

# Last part of a variable's name -> that of an entry.
_LAST_PARTS = {
    "weights": "weight",
    "depthwise_weights": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_COUNTER = ".num_batches_tracked"
# Classifiers of whole images, which no segmentation network has.
_IMAGE_CLASSIFIERS = ("fc.", "classifier.1.")


def entry_names(variable: str, network: Network) -> list:
    """Returns the names that a variable may have in a state dict, the likeliest first."""
    *scopes, last = variable.split("/")
    name = ".".join([*scopes, _LAST_PARTS[last]])
    prefix = network.backbone.replace("/", ".") + "."
    if not name.startswith(prefix):
        return [name]
    name = name[len(prefix) :]
    # HarDNet's ImageNet weights are those of the module `base`.
    return [f"backbone.{name}", name, name.split(".", 1)[1] if name.startswith("base.") else name]


def convert(path: str, network: Network) -> tuple:
    """Returns arrays by variable, and the entries that are left; see `Source`."""
    arrays, found, used = state_dict.read(path), {}, set()
    for variable in network.shapes:
        for name in entry_names(variable, network):
            if name in arrays:
                found[variable] = _in_our_order(arrays[name], variable)
                used.add(name)
                break
    left = [
        name
        for name in arrays
        if name not in used and not name.endswith(_COUNTER) and not _is_of_images(name, arrays)
    ]
    return found, left


def _is_of_images(name, arrays) -> bool:
    """Whether an entry is of a fully connected layer."""
    weight = arrays.get(name.rsplit(".", 1)[0] + ".weight")
    return name.startswith(_IMAGE_CLASSIFIERS) and weight is not None and weight.ndim == 2


def _in_our_order(array, variable) -> np.ndarray:
    """Returns [out, in, height, width] as [height, width, in, out]; depthwise [.., out, 1]."""
    if array.ndim != 4:
        return array.astype(np.float32)
    order = (2, 3, 0, 1) if variable.endswith("/depthwise_weights") else (2, 3, 1, 0)
    return array.transpose(order).astype(np.float32)


def _fits(path: str) -> bool:
    return os.path.isfile(path) and state_dict.is_state_dict(path)


VARIANTS = {
    "torchvision": Source(
        description="state dict of a torchvision network (PyTorch's file or safetensors)",
        fits=_fits,
        convert=convert,
    ),
    "hardnet": Source(
        description="state dict of FC-HarDNet (PyTorch's file or safetensors)",
        fits=_fits,
        convert=convert,
    ),
}
