"""Keras' HDF5 files are read by the names of layers, in each of their layouts."""

import json

import h5py
import numpy as np
import pytest

from core.checkpoints.convert import keras_hdf5
from utils.errors import UserError

_ARRAYS = {
    "conv0/kernel": (3, 3, 3, 4),
    "conv0/bias": (4,),
    "bn_data/beta": (4,),
    "bn_data/moving_mean": (4,),
    "bn_data/moving_variance": (4,),
    "bn0/gamma": (4,),
    "bn0/beta": (4,),
    "bn0/moving_mean": (4,),
    "bn0/moving_variance": (4,),
    "dw/depthwise_kernel": (3, 3, 4, 1),
    "sep/depthwise_kernel": (3, 3, 4, 1),
    "sep/pointwise_kernel": (1, 1, 4, 5),
    "sep/bias": (5,),
    "inner_conv/kernel": (1, 1, 5, 3),
    "inner_conv/bias": (3,),
    "up/kernel": (2, 2, 2, 3),
}
_CLASSES = {
    "conv0": "conv2d",
    "bn_data": "batch_normalization",
    "bn0": "batch_normalization_1",
    "dw": "depthwise_conv2d",
    "sep": "separable_conv2d",
    "inner_conv": "conv2d",
    "up": "conv2d_transpose",
}


def _value(name):
    return np.random.RandomState(len(name)).standard_normal(_ARRAYS[name]).astype(np.float32)


def _by_layer():
    """Returns layer -> names of its arrays, in order."""
    layers = {}
    for name in _ARRAYS:
        layers.setdefault(name.split("/")[0], []).append(name)
    return layers


def _write_named(group, suffix="", chunks=False, encode=str, rename=str):
    """Writes the layout with names; the model `inner` holds one layer."""
    layers = {"inner" if layer == "inner_conv" else layer: n for layer, n in _by_layer().items()}
    names = [encode(name) for name in ("input_1", *layers)]
    if chunks:
        group.attrs["layer_names0"], group.attrs["layer_names1"] = names[:3], names[3:]
    else:
        group.attrs["layer_names"] = names
    group.create_group("input_1").attrs["weight_names"] = []
    for layer, arrays in layers.items():
        inside = group.create_group(layer)
        stored = [rename(name) + suffix for name in arrays]
        inside.attrs["weight_names"] = [encode(name) for name in stored]
        for name, array in zip(stored, arrays):
            inside[name] = _value(array)


def _assert_read(path):
    found = keras_hdf5.read(str(path))
    assert set(found) == set(_ARRAYS)
    for name, array in found.items():
        np.testing.assert_array_equal(array, _value(name))


@pytest.mark.parametrize("chunks", [False, True])
def test_weights_of_keras_2_are_read(tmp_path, chunks):
    with h5py.File(str(tmp_path / "best.weights"), "w") as file:
        _write_named(file, ":0", chunks, encode=np.bytes_)
    assert keras_hdf5.is_hdf5(str(tmp_path / "best.weights"))
    _assert_read(tmp_path / "best.weights")


def test_a_layer_that_was_built_again_keeps_its_name(tmp_path):
    with h5py.File(str(tmp_path / "net.h5"), "w") as file:
        _write_named(file, ":0", rename=lambda name: name.replace("conv0/", "conv0_1/"))
    _assert_read(tmp_path / "net.h5")


def test_a_whole_model_is_read_without_its_optimizer(tmp_path):
    layers = [{"class_name": "DepthwiseConv2D", "config": {"name": "dw"}}]
    with h5py.File(str(tmp_path / "net.h5"), "w") as file:
        # Keras 3 calls depthwise kernels as others.
        _write_named(
            file.create_group("model_weights"),
            rename=lambda name: name.replace("dw/depthwise_", "dw/"),
        )
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Functional", "config": {"name": "net", "layers": layers}}
        )
        file.create_group("optimizer_weights").attrs["weight_names"] = ["adam/kernel"]
    _assert_read(tmp_path / "net.h5")


def _write_numbered(file, with_names=True):
    layers = file.create_group("layers")
    for layer, arrays in _by_layer().items():
        place = "sequential/layers/" if layer == "inner_conv" else ""
        found = layers.create_group(f"{place}{_CLASSES[layer]}/vars")
        if with_names:
            found.attrs["name"] = layer
        for number, name in enumerate(arrays):
            found[str(number)] = _value(name)
    layers.create_group("dropout/seed_generator/vars")["0"] = np.zeros(2, np.uint32)
    file.create_group("optimizer/vars")["0"] = np.zeros(3, np.float32)


def test_weights_of_keras_3_are_read(tmp_path):
    with h5py.File(str(tmp_path / "net.weights.h5"), "w") as file:
        _write_numbered(file)
    _assert_read(tmp_path / "net.weights.h5")


def test_numbered_arrays_without_the_names_of_layers_are_refused(tmp_path):
    with h5py.File(str(tmp_path / "net.weights.h5"), "w") as file:
        _write_numbered(file, with_names=False)
    with pytest.raises(UserError, match="no names of layers"):
        keras_hdf5.read(str(tmp_path / "net.weights.h5"))


def test_a_layer_of_an_unknown_class_is_refused_by_its_name(tmp_path):
    with h5py.File(str(tmp_path / "net.weights.h5"), "w") as file:
        found = file.create_group("layers/attention/vars")
        found.attrs["name"] = "attention"
        found["0"] = np.zeros(3, np.float32)
    with pytest.raises(UserError, match="attention with 1 arrays"):
        keras_hdf5.read(str(tmp_path / "net.weights.h5"))


def test_files_that_keras_did_not_write_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    assert not keras_hdf5.is_hdf5(str(tmp_path / "text.h5"))
    with pytest.raises(UserError, match=r"text\.h5 cannot be read as HDF5"):
        keras_hdf5.read(str(tmp_path / "text.h5"))
    with h5py.File(str(tmp_path / "empty.h5"), "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(UserError, match="holds no weights"):
        keras_hdf5.read(str(tmp_path / "empty.h5"))
