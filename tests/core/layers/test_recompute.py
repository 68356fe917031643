"""Gradient checkpointing: the same step from less memory."""

import numpy as np
import pytest

from core import layers, network
from core.layers import recompute
from core.training import step as train
from deployment import backend as backends
from options.device import DeviceOptions
from options.network import NetworkSpec
from tests.small_steps import config_of
from utils.classes import ClassSet, default_names
from utils.compat import tf


def _count(type_name):
    return sum(op.type == type_name for op in tf.get_default_graph().get_operations())


def _unit(inputs, width):
    """Two convolutions with batch norm; also returns what is between them."""
    with tf.variable_scope("unit"):
        between = layers.conv2d(inputs, width, 3, scope="first")
        return inputs + layers.conv2d(between, 4, 1, scope="second"), between


def _two_units(is_recomputed, *, uses_between):
    """Returns loss, gradients and moving averages after a step, from the same weights each time."""
    tf.reset_default_graph()
    outputs = tf.random.stateless_normal([2, 5, 5, 4], [1, 2])
    with layers.arg_scope(layers.Mode(True, True, 0.1), decay=0.5):
        for number in range(2):
            with tf.variable_scope(f"block{number}"):
                outputs, between = recompute.unit(_unit, outputs, 3, recompute=is_recomputed)
    loss = tf.nn.l2_loss(outputs - 1.0)
    if uses_between:
        loss += tf.nn.l2_loss(between - 2.0)
    loss += tf.add_n(tf.losses.get_regularization_losses())
    variables = tf.trainable_variables()
    start = [
        tf.assign(variable, tf.random.stateless_normal(variable.shape, [3, number]))
        for number, variable in enumerate(variables)
    ]
    gradients = tf.gradients(loss, variables)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(start)
        found = session.run([loss, *gradients])
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        averages = [variable for variable in tf.global_variables() if "moving" in variable.name]
        return found + session.run(averages), _count("Conv2D")


@pytest.mark.parametrize("uses_between", [False, True])
def test_loss_gradients_and_moving_averages_are_the_same(uses_between):
    expected, convolutions = _two_units(False, uses_between=uses_between)
    actual, convolutions_again = _two_units(True, uses_between=uses_between)
    assert (convolutions, convolutions_again) == (4, 8)
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("variant", "units"),
    [
        ("resnet_v1_18", 8),
        ("resnet18_preact", 8),
        ("resnext50_preact", 16),
        ("seresnet50", 16),
        ("mobilenet_v2", 17),
        ("mobilenet_v3_small_seg", 11),
        ("xception_41", 13),
        ("vgg16", 13),
        ("mobilenet", 13),
        ("inception_v3", 11),
        pytest.param("densenet121", 58, marks=pytest.mark.slow),
        pytest.param("inception_resnet_v2", 43, marks=pytest.mark.slow),
    ],
)
def test_every_family_of_backbones_has_units(variant, units):
    options = NetworkSpec.of(model_variant=variant)
    mode = layers.Mode(is_training=True, recompute=True)
    network.build(tf.zeros([1, 33, 33, 3]), options, 5, mode, crop_size=(33, 33))
    assert _count("IdentityN") == units


@pytest.mark.slow
def test_a_training_step_has_the_same_loss_with_and_without():
    losses = []
    for gradient_checkpointing in (False, True):
        tf.reset_default_graph()
        step = train.build(
            tf.random.stateless_uniform([1, 33, 33, 3], [1, 2], 0.0, 255.0),
            tf.random.stateless_uniform([1, 33, 33, 1], [3, 4], 0, 5, tf.int32),
            config_of(
                model_variant="resnet_v1_18",
                decoder_output_stride=(4,),
                gradient_checkpointing=gradient_checkpointing,
                base_learning_rate=0.1,
            ),
            classes=ClassSet(default_names(5)),
            backend=backends.create(DeviceOptions(device="cpu")),
        )
        start = [
            tf.assign(variable, 0.1 * tf.abs(tf.random.stateless_normal(variable.shape, [3, i])))
            for i, variable in enumerate(tf.trainable_variables())
        ]
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            session.run(start)
            losses.append([session.run([step.loss, step.train_op])[0] for _ in range(3)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
