"""MobileNetV2 of torchvision: its size, its padding, its rates."""

import numpy as np
import pytest

from core import layers, network
from options.network import NetworkOptions
from utils.compat import tf

_NAME = "mobilenet_v2_torch"
# Of torchvision's classification network, without its 1000 classes.
_PARAMETERS = 2_223_872


def _build(output_stride=32, size=(65, 65)):
    options = NetworkOptions(model_variant=_NAME, output_stride=output_stride)
    return network.backbone(options).build(tf.zeros([1, *size, 3]), options, layers.INFERENCE)


@pytest.mark.once
def test_parameters_and_names_are_those_of_torchvision():
    _build()
    shapes = {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}
    trainable = tf.trainable_variables()
    assert sum(variable.shape.num_elements() for variable in trainable) == _PARAMETERS
    assert shapes[f"{_NAME}/features/0/0/weights"] == [3, 3, 3, 32]
    assert shapes[f"{_NAME}/features/1/conv/0/0/depthwise_weights"] == [3, 3, 32, 1]
    assert shapes[f"{_NAME}/features/1/conv/2/gamma"] == [16]
    assert shapes[f"{_NAME}/features/2/conv/1/0/depthwise_weights"] == [3, 3, 96, 1]
    assert shapes[f"{_NAME}/features/17/conv/2/weights"] == [1, 1, 960, 320]
    assert shapes[f"{_NAME}/features/18/1/moving_mean"] == [1280]


def test_strided_depthwise_convolutions_pad_both_sides_alike():
    inputs = np.random.RandomState(0).standard_normal((1, 6, 8, 2)).astype(np.float32)
    settings = {"activation_fn": None, "scope": "0", "norm_scope": "1"}
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        strided = layers.depthwise_conv2d_batch_norm(tf.constant(inputs), 3, 2, **settings)
        dense = layers.depthwise_conv2d_batch_norm(tf.constant(inputs), 3, **settings)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found, expected = session.run([strided, dense])
    np.testing.assert_allclose(found, expected[:, ::2, ::2], rtol=1e-5, atol=1e-6)


@pytest.mark.once
def test_depthwise_kernels_start_with_the_variance_of_torchvision():
    _build()
    (kernel,) = [v for v in tf.model_variables() if v.shape.as_list() == [3, 3, 960, 1]][:1]
    with tf.Session() as session:
        session.run(kernel.initializer)
        value = session.run(kernel)
    np.testing.assert_allclose(value.std(), np.sqrt(2.0 / (9 * 960)), rtol=0.05)
