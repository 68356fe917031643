"""VGG, DenseNet, MobileNet and the Inceptions of Keras: parameters, names, what is left out."""

import numpy as np
import pytest

from core import layers, network
from options.network import NetworkOptions, NetworkSpec
from utils.compat import tf
from utils.errors import OptionError


def _build(name, **changes):
    record = network.BACKBONES[name]
    options = NetworkOptions(model_variant=name, **{"output_stride": 32, **changes})
    return record.build(tf.zeros([1, 33, 33, 3]), options, layers.INFERENCE)


def _names(last):
    scope = {variable.op.name for variable in tf.model_variables()}
    return [name.split("/")[1] for name in sorted(scope) if name.endswith(f"/{last}")]


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg16", 14_714_688),
        _slow("vgg19", 20_024_384),
        ("mobilenet", 3_228_864),
        ("inception_v3", 21_802_784),
        _slow("densenet121", 7_037_504),
        _slow("densenet169", 12_642_880),
        _slow("densenet201", 18_321_984),
        _slow("inception_resnet_v2", 54_336_736),
    ],
)
def test_parameters_are_as_many_as_in_keras_without_the_top(name, expected):
    _build(name)
    assert sum(int(np.prod(item.shape.as_list())) for item in tf.model_variables()) == expected


@pytest.mark.once
def test_layers_of_an_inception_are_numbered_in_their_order():
    _build("inception_v3")
    numbers = {f"conv2d_{number}" for number in range(1, 95)}
    assert set(_names("weights")) == numbers
    assert _names("gamma") == []
    assert len(_names("beta")) == 94


@pytest.mark.slow
@pytest.mark.once
def test_the_unnumbered_layers_of_inception_resnet_have_their_names():
    _build("inception_resnet_v2")
    named = [name for name in _names("weights") if not name.startswith("conv2d_")]
    kinds = {"block35": 10, "block17": 20, "block8": 10}
    expected = [f"{kind}_{n}_conv" for kind, count in kinds.items() for n in range(1, count + 1)]
    assert sorted(named) == sorted([*expected, "conv_7b"])
    # Only these have biases.
    assert sorted(_names("biases")) == sorted(expected)


def test_a_narrow_mobilenet_rounds_its_channels_down():
    features = _build("mobilenet", depth_multiplier=0.33)
    channels = {stride: item.shape.as_list()[3] for stride, item in features.stages.items()}
    assert channels == {2: 21, 4: 42, 8: 84, 16: 168, 32: 337}


@pytest.mark.parametrize("name", ["nasnetmobile", "nasnetlarge"])
def test_nasnet_is_refused_with_the_reason(name):
    with pytest.raises(OptionError, match=f"--model_variant={name} .*xception_65"):
        network.check(NetworkSpec.of(model_variant=name))
