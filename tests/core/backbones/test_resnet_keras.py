import pytest

from core import layers, network
from options.network import NetworkOptions
from tests.resources import golden_json
from utils.compat import tf

_LAST_PARTS = {"weights": "kernel", "biases": "bias"}


def _features(name, output_stride=32):
    record = network.BACKBONES[name]
    options = NetworkOptions(model_variant=name, output_stride=output_stride)
    return record.build(tf.zeros([1, 33, 33, 3]), options, layers.INFERENCE)


def _row(variable) -> tuple:
    _, layer, last = variable.op.name.split("/")
    return f"backbone/{layer}/{_LAST_PARTS.get(last, last)}", variable.shape.as_list()


@pytest.mark.once
@pytest.mark.parametrize("count", [50, pytest.param(101, marks=pytest.mark.slow)])
def test_variables_equal_those_of_keras(count):
    _features(f"resnet{count}_keras")
    stored = golden_json(f"refinenet/weights/backbone_ResNet{count}.json")
    found = dict(_row(variable) for variable in tf.global_variables())
    assert found == {name: shape for name, shape, _ in stored}


@pytest.mark.parametrize("name", ["resnet50_keras", "resnet50_v2_keras"])
def test_named_layers_are_those_that_are_declared_and_hold_at_every_output_stride(name):
    for output_stride in (8, 32):
        with tf.Graph().as_default():
            named = _features(name, output_stride).named
        assert {
            layer: (stride, outputs.shape.as_list()[3])
            for layer, (stride, outputs) in named.items()
        } == network.BACKBONES[name].named
        for stride, outputs in named.values():
            assert outputs.shape.as_list()[1] == -(-33 // min(stride, output_stride))
