"""Inference equals the stored numbers of the Keras experiment pipeline."""

import numpy as np
import pytest

from core import network
from tests.golden import __main__ as golden
from tests.golden import compare
from tests.golden.musket import logits, rules
from tests.resources import golden_folder, golden_json
from utils.compat import tf

_ARCHITECTURES = ("unet", "linknet", "fpn", "pspnet")
_BACKBONES = (
    *("resnet18", "resnet34", "resnet50", "resnext50", "seresnet18", "seresnet34"),
    *("vgg16", "densenet121", "inceptionv3"),
)
_MANIFESTS = (
    *(f"{name}_{backbone}" for name in _ARCHITECTURES for backbone in _BACKBONES),
    *("deeplabv3_mobilenetv2", "deeplabv3_mobilenetv2_65x97", "deeplabv3_mobilenetv2_a05"),
    *("deeplabv3_mobilenetv2_voc", "deeplabv3_xception_os16", "deeplabv3_xception_os8"),
    *(f"{name}_mobilenetv2" for name in _ARCHITECTURES),
    *("fpn_96x64", "fpn_filters_dropout", "fpn_nearest", "fpn_nobn"),
    *("linknet_filters", "linknet_nobn", "linknet_transpose"),
    *("pspnet_16", "pspnet_16_duc", "pspnet_4", "pspnet_4_max_duc", "pspnet_8_duc"),
    *("pspnet_8_max", "pspnet_8_nobn_dropout"),
    *("unet_1channel", "unet_4channels", "unet_96x64", "unet_filters", "unet_four_blocks"),
    *("unet_linear", "unet_nobn", "unet_transpose", "unet_transpose_nobn"),
)
# One of each architecture and of each family of backbones.
_QUICK = (
    *("unet_seresnet18", "linknet_resnet18", "fpn_resnext50", "pspnet_8_duc"),
    *("deeplabv3_mobilenetv2_65x97", "deeplabv3_xception_os8"),
    *("linknet_vgg16", "unet_densenet121", "fpn_inceptionv3", "unet_4channels"),
)

# Of the largest logit; the output is a probability. The encoder of VGG has no batch norm.
_LOGITS, _LOGITS_OF_VGG, _OUTPUT = 3e-4, 1e-3, 5e-4
# Of the largest sample of a point.
_POINTS, _POINTS_OF_VGG = 5e-4, 2e-3

CASES = [
    name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in _MANIFESTS
]


def _path(name):
    return golden_folder() / "musket" / "logits" / f"{name}.json"


@pytest.mark.parametrize("name", CASES)
def test_inference_equals_the_original(name):
    path = _path(name)
    manifest = golden.read(path)
    actual = logits.recompute(manifest, golden.root(path))
    expected = golden.stored(path, manifest, logits)
    assert set(actual) == set(expected)
    is_vgg = manifest["backbone"].startswith("vgg")
    limit = _LOGITS_OF_VGG if is_vgg else _LOGITS
    assert compare.difference_to_range(actual["logits"], expected["logits"]) <= limit
    if manifest["activation"] in ("sigmoid", "softmax"):
        assert compare.largest_difference(actual["output"], expected["output"]) <= _OUTPUT
    found = ~np.isnan(actual["point_mean"])
    # The layers with a scope of their own: all convolutions and batch norms of the decoder.
    assert found.sum() >= 5
    share = _POINTS_OF_VGG if is_vgg else _POINTS
    limits = share * np.abs(expected["point_sample"]).max(1) + 1e-4
    for array in ("point_mean", "point_std"):
        difference = np.abs(actual[array] - expected[array])
        assert (difference[found] <= limits[found]).all(), array
    difference = np.abs(actual["point_sample"] - expected["point_sample"]).max(1)
    assert (difference[found] <= limits[found]).all()


@pytest.mark.once
@pytest.mark.parametrize("name", CASES)
def test_variables_are_the_arrays_of_the_original(name):
    manifest = golden.read(_path(name))
    spec, size = logits.options_of(manifest), manifest["input_shape"]
    network.build(tf.zeros([1, *size]), spec, manifest["classes"], crop_size=size[:2])
    arrays = rules.arrays_of(
        tf.global_variables(), manifest["backbone"], logits.classifier_of(manifest)
    )
    trainable = set(tf.trainable_variables())
    found = {
        array: [shape, int(variable in trainable)]
        for variable, parts in arrays.items()
        for array, shape in parts
    }
    stored = golden_json(f"musket/weights/{name}.json")["weights"]
    assert found == {row[0]: [row[1], row[3]] for row in stored}


def test_the_rule_gives_the_published_values():
    noise = rules.images([["noise", 7, 96, 96]])
    tinted = rules.images([["tinted", 210, 64, 64]])
    assert (list(noise.flat[:4]), noise.sum()) == ([145, 201, 39, 152], 3612708)
    assert tinted.sum() == 1565570
    with tf.variable_scope("resnet18_preact"):
        shapes = {
            "conv0/weights": (7, 7, 3, 64),
            "stage1_unit1_conv2/weights": (3, 3, 64, 64),
            "bn_data/beta": (3,),
            "bn_data/moving_variance": (3,),
        }
        variables = [tf.get_variable(name, shape) for name, shape in shapes.items()]
    values = rules.values(variables, "resnet18", "final_conv")
    first, second, _, fourth = (values[variable].flat[:3] for variable in variables)
    np.testing.assert_allclose(first, [-0.3066671, -0.01864431, 0.1342435], rtol=1e-6)
    np.testing.assert_allclose(second, [0.04006277, -0.03772159, -0.03524043], rtol=1e-6)
    np.testing.assert_allclose(fourth, [4177.849, 4374.098, 4448.371], rtol=1e-6)
