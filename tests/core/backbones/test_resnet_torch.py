"""ResNets of torchvision: their size, and where strides and rates are."""

import pytest

from core import layers, network
from options.network import NetworkOptions
from utils.compat import tf

# Of torchvision's classification networks, without their 1000 classes.
_PARAMETERS = {
    "resnet18_torch": 11_176_512,
    "resnet34_torch": 21_284_672,
    "resnet50_torch": 23_508_032,
    "resnet101_torch": 42_500_160,
    "resnet152_torch": 58_143_808,
    "resnext50_torch": 22_979_904,
    "resnext101_torch": 86_742_336,
}
_QUICK = ("resnet18_torch", "resnext50_torch")


def _build(name, output_stride=32, size=(65, 65)):
    options = NetworkOptions(model_variant=name, output_stride=output_stride)
    return network.backbone(options).build(tf.zeros([1, *size, 3]), options, layers.INFERENCE)


def _rates(name, output_stride) -> list:
    """Returns the rates of the 3x3 convolutions of the third and fourth layer, in order."""
    with tf.Graph().as_default() as graph:
        _build(name, output_stride)
        kernels = [
            operation
            for operation in graph.get_operations()
            if operation.type == "Conv2D" and operation.inputs[1].shape.as_list()[0] == 3
        ]
        return [
            operation.get_attr("dilations")[1]
            for operation in kernels
            if "/layer3/" in operation.name or "/layer4/" in operation.name
        ]


@pytest.mark.once
@pytest.mark.parametrize(
    "name",
    [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in _PARAMETERS
    ],
)
def test_parameters_are_those_of_torchvision(name):
    _build(name)
    count = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
    assert count == _PARAMETERS[name]


@pytest.mark.once
def test_the_first_unit_of_a_dilated_layer_keeps_the_rate_of_the_layer_before():
    assert _rates("resnet50_torch", 16) == [1] * 6 + [1, 2, 2]
    assert _rates("resnet50_torch", 8) == [1] + [2] * 5 + [2, 4, 4]


@pytest.mark.once
def test_only_the_strided_convolution_of_a_basic_unit_keeps_the_rate():
    assert _rates("resnet18_torch", 8) == [1, 2, 2, 2, 2, 4, 4, 4]


@pytest.mark.once
def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution():
    _build("resnet50_torch", size=(64, 64))
    graph = tf.get_default_graph()
    sizes = {}
    for number in (1, 2, 3):
        operation = graph.get_operation_by_name(f"resnet50_torch/layer2/0/conv{number}/Conv2D")
        sizes[number] = operation.outputs[0].shape.as_list()[1:3]
    assert sizes == {1: [16, 16], 2: [8, 8], 3: [8, 8]}


@pytest.mark.once
def test_kernels_of_resnext_see_one_group_of_channels():
    _build("resnext50_torch")
    shapes = {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}
    assert shapes["resnext50_torch/layer1/0/conv2/weights"] == [3, 3, 4, 128]
    assert shapes["resnext50_torch/layer4/2/conv2/weights"] == [3, 3, 32, 1024]
