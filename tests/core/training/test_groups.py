"""Factors of gradients and rates, and what decays, by the names of variables."""

import dataclasses

import numpy as np
import pytest

from core import network
from core.training import groups
from options.optimizer import OptimizerOptions
from utils.compat import tf
from utils.errors import OptionError

DEEPLAB = network.ARCHITECTURES["deeplab"]
HEAD = [
    "image_pooling/weights",
    "aspp0/weights",
    "aspp1_depthwise/depthwise_weights",
    "aspp3_pointwise/BatchNorm/gamma",
    "aspp2/BatchNorm/beta",
    "concat_projection/weights",
    "meta_architecture/branch0_pointwise/weights",
    "decoder/feature_projection0/weights",
    "decoder/decoder_conv0_depthwise/depthwise_weights",
]
LOGITS = ["logits/semantic/weights", "logits/semantic_1/weights"]
BACKBONE = [
    "MobilenetV2/Conv/weights",
    "resnet_v1_50/logits/weights",
    "resnet_v1_101/block4/unit_3/bottleneck_v1/conv3/BatchNorm/beta",
]


def multiplier(name, **options):
    return groups.gradient_multiplier(name, OptimizerOptions(**options), DEEPLAB)


@pytest.mark.parametrize("name", HEAD + LOGITS)
def test_the_head_has_the_last_layer_multiplier(name):
    assert multiplier(name, last_layer_gradient_multiplier=10.0) == 10.0


@pytest.mark.parametrize("name", BACKBONE)
def test_the_backbone_has_no_multiplier(name):
    assert multiplier(name, last_layer_gradient_multiplier=10.0, bias_multiplier=2.0) == 1.0


def test_only_the_logits_have_it_when_they_alone_are_the_last_layers():
    settings = {"last_layer_gradient_multiplier": 10.0, "last_layers_contain_logits_only": True}
    assert [multiplier(name, **settings) for name in LOGITS] == [10.0, 10.0]
    assert {multiplier(name, **settings) for name in HEAD} == {1.0}


def test_both_multipliers_of_a_bias_in_the_head_multiply():
    settings = {"last_layer_gradient_multiplier": 10.0, "bias_multiplier": 2.0}
    assert multiplier("logits/semantic/biases", **settings) == 20.0
    assert multiplier("resnet_v1_50/conv1/biases", **settings) == 2.0


def test_gradients_are_multiplied_and_missing_ones_stay_missing():
    weights = tf.get_variable("logits/semantic/weights", [2])
    biases = tf.get_variable("logits/semantic/biases", [2])
    other = tf.get_variable("MobilenetV2/Conv/weights", [2])
    unused = tf.get_variable("MobilenetV2/Conv/biases", [2])
    gradient = tf.constant([1.0, -2.0])
    pairs = [(gradient, weights), (gradient, biases), (gradient, other), (None, unused)]
    options = OptimizerOptions(last_layer_gradient_multiplier=3.0, bias_multiplier=2.0)
    multiplied = groups.multiply_gradients(pairs, options, DEEPLAB)
    assert [variable for _, variable in multiplied] == [weights, biases, other, unused]
    assert multiplied[3][0] is None
    with tf.Session() as session:
        values = session.run([value for value, _ in multiplied[:3]])
    np.testing.assert_allclose(values, [[3.0, -6.0], [6.0, -12.0], [1.0, -2.0]])


NAMES = (
    "MobilenetV2/Conv/weights",
    "MobilenetV2/Conv/BatchNorm/gamma",
    "logits/semantic/weights",
    "logits/semantic/biases",
)
KERNELS = (NAMES[0], NAMES[2])


def test_a_variable_has_the_product_of_the_multipliers_that_match_its_start():
    options = OptimizerOptions(
        learning_rate_multiplier=("logits/=10", ".*/biases=2", "MobilenetV2/.*gamma$=0.5")
    )
    assert groups.rate_multipliers(NAMES, options, DEEPLAB) == {
        NAMES[1]: 0.5,
        NAMES[2]: 10.0,
        NAMES[3]: 20.0,
    }
    assert groups.rate_multipliers(NAMES, OptimizerOptions(), DEEPLAB) == {}
    multiplied = dataclasses.replace(DEEPLAB, rate_multipliers={"logits/semantic/": 3.0})
    assert groups.rate_multipliers(NAMES, options, multiplied)[NAMES[3]] == 60.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, KERNELS),
        ({"weight_decay_on": ("all",)}, NAMES),
        ({"weight_decay_on": ("kernels", ".*/biases")}, (*KERNELS, NAMES[3])),
        ({"weight_decay_on": (".*gamma",)}, (NAMES[1],)),
        ({"weight_decay_off": ("logits/",)}, (NAMES[0],)),
        ({"weight_decay_on": ("all",), "weight_decay_off": (".*gamma", ".*biases")}, KERNELS),
        ({"weight_decay": 0.0}, ()),
    ],
)
def test_patterns_say_what_decays(options, expected):
    found = groups.decaying(NAMES, KERNELS, OptimizerOptions(**options))
    assert found == set(expected)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (
            lambda names, made: groups.rate_multipliers(names, made, DEEPLAB),
            {"learning_rate_multiplier": ("semantic=2",)},
        ),
        (lambda names, made: groups.decaying(names, (), made), {"weight_decay_on": ("aux",)}),
        (lambda names, made: groups.decaying(names, (), made), {"weight_decay_off": ("aux",)}),
    ],
)
def test_a_pattern_without_a_match_is_refused_with_the_names(function, options):
    ((flag, (text,)),) = options.items()
    with pytest.raises(OptionError, match=f"--{flag}={text} matches no .* logits/semantic"):
        function(NAMES, OptimizerOptions(**options))
