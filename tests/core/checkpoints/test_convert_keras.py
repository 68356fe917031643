"""Files of Keras networks become the variables of a network, by the names of layers."""

import re

import numpy as np
import pytest

from core import network
from core.checkpoints.convert import Network, keras
from options.network import NetworkSpec
from tests.core.checkpoints import keras_writer
from tests.golden.musket import rules
from utils.compat import tf

_CLASSIFIER = "logits/semantic"


def _build(architecture, backbone, classes=3):
    spec = NetworkSpec.of(architecture=architecture, model_variant=backbone, output_stride=32)
    network.build(tf.zeros([1, 96, 96, 3]), spec, classes, crop_size=(96, 96))
    shapes = {item.op.name: item.shape.as_list() for item in network.variables()}
    return Network(shapes, network.BACKBONES[backbone].scope, (_CLASSIFIER,), backbone)


def _convert(path, built):
    found, left = keras.convert(str(path), built)
    assert not left
    return found


def _arrays(original, classifier):
    """Returns variable -> value by rule, and name in a file -> array, of the default graph."""
    values = rules.values(network.variables(), original, classifier)
    parts = rules.arrays_of(network.variables(), original, classifier)
    arrays = {}
    for variable, value in values.items():
        names = [name for name, _ in parts[variable]]
        arrays.update(zip(names, np.split(value, len(names), axis=-1)))
    return {variable.op.name: value for variable, value in values.items()}, arrays


def _assert_equal(found, expected):
    assert set(found) == set(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("architecture", "backbone", "original", "classifier"),
    [
        ("unet", "resnet18_preact", "resnet18", "final_conv"),
        pytest.param("fpn", "seresnext50", "seresnext50", None, marks=pytest.mark.slow),
        pytest.param(
            "linknet", "resnext50_preact", "resnext50", "final_conv", marks=pytest.mark.slow
        ),
        pytest.param("pspnet", "xception_keras", "xception", "final_conv", marks=pytest.mark.slow),
    ],
)
def test_every_variable_of_a_network_is_found(
    tmp_path, architecture, backbone, original, classifier
):
    built = _build(architecture, backbone)
    expected, arrays = _arrays(original, classifier)
    keras_writer.write(tmp_path / "net.h5", arrays)
    _assert_equal(_convert(tmp_path / "net.h5", built), expected)


def _shifted(name):
    """Returns a name whose number is that of a process with other networks."""
    return re.sub(
        r"^(conv2d|batch_normalization)_(\d+)/", lambda m: f"{m[1]}_{int(m[2]) + 94}/", name
    )


def test_numbers_count_from_the_first_of_the_file(tmp_path):
    built = _build("fpn", "seresnext50")
    expected, arrays = _arrays("seresnext50", None)
    keras_writer.write(
        tmp_path / "net.h5", {_shifted(name): array for name, array in arrays.items()}
    )
    _assert_equal(_convert(tmp_path / "net.h5", built), expected)


@pytest.fixture
def small(tmp_path):
    """Returns the values of a U-Net, its arrays, and a function that writes and converts some."""
    built = _build("unet", "resnet18_preact")
    expected, arrays = _arrays("resnet18", "final_conv")

    def convert(changed):
        keras_writer.write(tmp_path / "net.h5", changed)
        return _convert(tmp_path / "net.h5", built)

    return expected, arrays, convert


def test_a_file_of_a_backbone_alone_gives_the_backbone(small):
    expected, arrays, convert = small
    of_backbone = {
        name: array
        for name, array in arrays.items()
        if not name.startswith(("decoder_", "final_conv"))
    }
    found = convert({**of_backbone, "fc1/kernel": np.zeros([512, 1000], np.float32)})
    of_scope = {n: value for n, value in expected.items() if n.startswith("resnet18_preact/")}
    _assert_equal(found, of_scope)


def test_a_classifier_for_other_classes_comes_as_it_is(small):
    expected, arrays, convert = small
    other = {
        "final_conv/kernel": np.ones([3, 3, 16, 7], np.float32),
        "final_conv/bias": np.ones([7], np.float32),
    }
    found = convert({**arrays, **other})
    _assert_equal(
        found,
        {
            **expected,
            f"{_CLASSIFIER}/weights": other["final_conv/kernel"],
            f"{_CLASSIFIER}/biases": other["final_conv/bias"],
        },
    )


def test_what_a_file_lacks_is_left_out(small):
    expected, arrays, convert = small
    del arrays["bn0/gamma"]
    del expected["resnet18_preact/bn0/gamma"]
    _assert_equal(convert(arrays), expected)


def test_keras_3_has_underscores_for_the_slashes_in_names(tmp_path):
    built = _build("unet", "densenet121")
    expected, arrays = _arrays("densenet121", "final_conv")
    layers = {name: name.rpartition("/")[0] for name in arrays}
    renamed = {
        layers[name].replace("/", "_") + name[len(layers[name]) :]: array
        for name, array in arrays.items()
    }
    assert set(renamed) != set(arrays)
    for content in (renamed, arrays):
        keras_writer.write(tmp_path / "net.h5", content)
        _assert_equal(_convert(tmp_path / "net.h5", built), expected)
