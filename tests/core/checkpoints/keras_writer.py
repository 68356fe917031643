"""Writes weights as Keras 2 does, without Keras, for tests."""

import h5py
import numpy as np


def write(path, arrays: dict, whole_model: bool = False):
    """Writes an HDF5 file.

    Args:
      path: The file.
      arrays: `LAYER/ARRAY` -> array.
      whole_model: Whether the weights lie as in the file of a whole model.
    """
    layers = {}
    for name in arrays:
        layers.setdefault(name.rsplit("/", 1)[0], []).append(name)
    with h5py.File(str(path), "w") as file:
        group = file.create_group("model_weights") if whole_model else file
        group.attrs["layer_names"] = [np.bytes_(layer) for layer in layers]
        for layer, names in layers.items():
            of_layer = group.create_group(layer)
            of_layer.attrs["weight_names"] = [np.bytes_(name + ":0") for name in names]
            for name in names:
                of_layer[name + ":0"] = arrays[name]
