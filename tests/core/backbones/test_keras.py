"""Backbones of Keras give what Keras' own networks give with the same weights."""

import json
import subprocess
import sys

import numpy as np
import pytest

from core import layers, network
from options.network import NetworkOptions
from tests.core.backbones import keras_reference
from utils.compat import tf

_INCEPTION_RESNET = {
    **{2: "activation_2", 4: "activation_4", 8: "block35_10_ac", 16: "block17_20_ac"},
    32: "conv_7b_ac",
}
_MOBILENET = {
    **{2: "conv_pw_1_relu", 4: "conv_pw_3_relu", 8: "conv_pw_5_relu", 16: "conv_pw_11_relu"},
    32: "conv_pw_13_relu",
}
_MOBILENET_V2 = {
    **{2: "block_1_expand_relu", 4: "block_3_expand_relu", 8: "block_6_expand_relu"},
    **{16: "block_13_expand_relu", 32: "out_relu"},
}
_RESNET = {2: "conv1_relu", 4: "conv2_block3_out", 8: "conv3_block4_out", 32: "conv5_block3_out"}
_RESNET_V2 = {
    2: "conv1_conv",
    4: "conv2_block2_out",
    8: "conv3_block3_out",
    16: "conv4_block5_out",
    32: "post_relu",
}

# (ours, Keras' class and settings, stride -> Keras' layer of the stage)
_EVEN = {"size": [96, 128]}
_CASES = [
    (
        "inception_resnet_v2",
        "InceptionResNetV2",
        {"pads_all": True, **_EVEN},
        _INCEPTION_RESNET,
    ),
    ("mobilenet", "MobileNet", _EVEN, _MOBILENET),
    ("mobilenet_v2_keras", "MobileNetV2", {}, _MOBILENET_V2),
    ("resnet50_keras", "ResNet50", {}, _RESNET),
    ("resnet50_v2_keras", "ResNet50V2", {}, _RESNET_V2),
]


def _stages(name, size) -> dict:
    """Returns stride -> value of the stage for the image and the weights of the reference."""
    record, graph = network.BACKBONES[name], tf.Graph()
    with graph.as_default(), tf.Session() as session:
        options = NetworkOptions(model_variant=name, output_stride=32)
        features = record.build(tf.constant(keras_reference.image(size)), options, layers.INFERENCE)
        variables = tf.global_variables()
        session.run(
            [variable.initializer for variable in variables],
            {variable.initializer.inputs[1]: _value(record, variable) for variable in variables},
        )
        return session.run(features.stages)


def _value(record, variable):
    layer, last = variable.op.name[len(record.scope) + 1 :].rsplit("/", 1)
    return keras_reference.value(layer, last, variable.shape.as_list())


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(("name", "model", "settings", "stages"), _CASES)
def test_stages_equal_those_of_keras(tmp_path, name, model, settings, stages):
    target = tmp_path / "stages.npz"
    command = [sys.executable, "-m", keras_reference.__name__, str(target), model]
    subprocess.run([*command, json.dumps(settings), *stages.values()], check=True)
    found = _stages(name, settings.get("size", keras_reference.SIZE))
    with np.load(target) as expected:
        for stride, layer in stages.items():
            scale = np.abs(expected[layer]).max()
            np.testing.assert_allclose(found[stride] / scale, expected[layer] / scale, atol=1e-5)
