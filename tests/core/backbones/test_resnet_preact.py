"""The residual networks of the Keras segmentation libraries: parameters, and batch norm first."""

import numpy as np
import pytest

from core import layers, network
from options.network import NetworkOptions
from tests.resources import golden_json
from utils.compat import tf

# Trainable parameters, published with those of the classifier (2048 x 1000 and 1000).
_TRAINABLE = {
    "seresnet50": 28_088_024,
    "seresnext50": 27_559_896,
    "seresnext101": 48_955_416,
    "senet154": 115_088_984,
}
_CLASSIFIER = 2_049_000

# Our name -> the original's; the published parameters are stored.
_STORED = {
    "resnet18_preact": "resnet18",
    "resnet34_preact": "resnet34",
    "resnet50_preact": "resnet50",
    "resnext50_preact": "resnext50",
    "seresnet18": "seresnet18",
    "seresnet34": "seresnet34",
}


_QUICK = ("resnet18_preact", "seresnet18", "seresnet50")


def _parameters(names) -> list:
    return [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


def _build(name, images, mode=layers.INFERENCE):
    record = network.BACKBONES[name]
    options = NetworkOptions(model_variant=name, output_stride=32)
    return record.build(record.normalize(images), options, mode)


def _count(variables) -> int:
    return sum(int(np.prod(variable.shape.as_list())) for variable in variables)


@pytest.mark.once
@pytest.mark.parametrize("name", _parameters(_STORED))
def test_parameters_and_features_are_those_of_the_original(name):
    stored = golden_json("musket/backbones.json")[_STORED[name]]
    features = _build(name, tf.zeros([1, 64, 64, 3]))
    assert _count(tf.global_variables()) == stored["parameters"]
    rows = [stored["output"], *stored["features"]]
    assert {stride: t.shape.as_list()[3] for stride, t in features.stages.items()} == {
        row["stride"]: row["channels"] for row in rows
    }


@pytest.mark.once
@pytest.mark.parametrize("name", _parameters(_TRAINABLE))
def test_trainable_parameters_are_the_published_ones(name):
    _build(name, tf.zeros([1, 64, 64, 3]))
    assert _count(tf.trainable_variables()) + _CLASSIFIER == _TRAINABLE[name]


@pytest.mark.once
def test_layers_have_the_numbers_that_keras_gives_them():
    _build("seresnext50", tf.zeros([1, 64, 64, 3]))
    shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
    # 7x7, 1x1, 32 groups, 1x1, shortcut, squeeze and excitation; then the next unit.
    assert shapes["seresnext50/conv2d_1/weights"] == [7, 7, 3, 64]
    assert shapes["seresnext50/conv2d_3/weights"] == [3, 3, 4, 128]
    assert shapes["seresnext50/conv2d_35/weights"] == [1, 1, 128, 256]
    assert shapes["seresnext50/conv2d_36/weights"] == [1, 1, 64, 256]
    assert shapes["seresnext50/conv2d_37/biases"] == [16]
    assert shapes["seresnext50/conv2d_38/biases"] == [256]
    assert shapes["seresnext50/conv2d_39/weights"] == [1, 1, 256, 128]
    assert shapes["seresnext50/batch_normalization_6/gamma"] == [128]


def test_the_network_normalizes_images_by_itself():
    images = np.random.RandomState(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    mode = layers.Mode(is_training=True, fine_tune_batch_norm=True)
    outputs = [_build("resnet18_preact", tf.constant(images), mode).stages[2]]
    with tf.variable_scope("", reuse=True):
        outputs.append(_build("resnet18_preact", tf.constant(images / 2 + 7), mode).stages[2])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        first, second = session.run(outputs)
    assert first.std() > 0.1
    np.testing.assert_allclose(second, first, atol=1e-3)
