import pytest

from core import layers, network
from options.network import NetworkOptions
from tests.resources import golden_json
from utils.compat import tf

_LAST_PARTS = {"weights": "kernel", "biases": "bias"}


def _row(variable) -> tuple:
    _, layer, last = variable.op.name.split("/")
    return f"backbone/{layer}/{_LAST_PARTS.get(last, last)}", variable.shape.as_list()


@pytest.mark.once
@pytest.mark.parametrize("count", [50, pytest.param(101, marks=pytest.mark.slow)])
def test_variables_equal_those_of_keras(count):
    name = f"resnet{count}_keras"
    network.BACKBONES[name].build(
        tf.zeros([1, 33, 33, 3]), NetworkOptions(model_variant=name), layers.INFERENCE
    )
    stored = golden_json(f"refinenet/weights/backbone_ResNet{count}.json")
    found = dict(_row(variable) for variable in tf.global_variables())
    assert found == {name: shape for name, shape, _ in stored}
