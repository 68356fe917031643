"""Optimizers and gradient multipliers."""

import numpy as np
import pytest

from core import network
from core.checkpoints import names
from core.training import optimizers
from options.optimization import OPTIMIZERS, OptimizerOptions
from utils.compat import tf

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
    return optimizers.gradient_multiplier(name, OptimizerOptions(**options), DEEPLAB)


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
    multiplied = optimizers.multiply_gradients(pairs, options, DEEPLAB)
    assert [variable for _, variable in multiplied] == [weights, biases, other, unused]
    assert multiplied[3][0] is None
    with tf.Session() as session:
        values = session.run([value for value, _ in multiplied[:3]])
    np.testing.assert_allclose(values, [[3.0, -6.0], [6.0, -12.0], [1.0, -2.0]])


def test_momentum_accumulates_without_nesterov():
    variable = tf.get_variable("weights", initializer=tf.constant(1.0))
    optimizer = optimizers.create(OptimizerOptions(momentum=0.5), tf.constant(0.1))
    step = optimizer.apply_gradients([(tf.constant(2.0), variable)])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = []
        for _ in range(2):
            session.run(step)
            values.append(session.run(variable))
        slot = session.run(optimizer.get_slot(variable, "momentum"))
    assert optimizer.get_slot(variable, "momentum").op.name == "weights/Momentum"
    # accum = 2, then 0.5 * 2 + 2 = 3; each step takes 0.1 * accum.
    np.testing.assert_allclose(values, [0.8, 0.5], rtol=1e-6)
    assert slot == pytest.approx(3.0)


def test_adam_moves_by_its_rate_at_first():
    variable = tf.get_variable("weights", initializer=tf.constant(1.0))
    options = OptimizerOptions(optimizer="adam", adam_epsilon=1e-8)
    optimizer = optimizers.create(options, tf.constant(0.01))
    step = optimizer.apply_gradients([(tf.constant(5.0), variable)])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        assert session.run(variable) == pytest.approx(0.99, abs=1e-5)


def test_the_flag_names_every_optimizer():
    assert list(optimizers.BUILDERS) == list(OPTIMIZERS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_an_optimizer_keeps_has_the_names_of_its_row(optimizer):
    weights = tf.get_variable("logits/semantic/weights", [2])
    options = OptimizerOptions(optimizer=optimizer, weight_decay=0.1)
    made = optimizers.create(options, tf.constant(0.1), {weights.op.name})
    made.apply_gradients([(tf.ones([2]), weights)])
    kept = {variable.op.name for variable in tf.global_variables()} - {weights.op.name}
    row = OPTIMIZERS[optimizer]
    assert kept == {*(f"{weights.op.name}/{slot}" for slot in row.slots), *row.scalars}
    assert not any(names.is_of_network(name) for name in kept)


def test_the_names_of_slots_stay_those_of_released_checkpoints():
    slots = {name: row.slots for name, row in OPTIMIZERS.items()}
    assert slots["momentum"] == ("Momentum",)
    assert slots["adam"] == slots["adamw"] == ("Adam", "Adam_1")
    assert names.is_of_network("logits/semantic/weights")
    assert not names.is_of_network("logits/semantic/weights/ExponentialMovingAverage")
    assert not names.is_of_network("global_step")


def test_adamw_shrinks_what_decays_by_a_share_of_its_rate():
    # Adam's own update of a zero gradient is zero.
    pairs = [(tf.zeros([]), tf.get_variable(name, initializer=2.0)) for name in ("one", "other")]
    options = OptimizerOptions(optimizer="adamw", weight_decay=0.1)
    step = optimizers.create(options, tf.constant(0.5), {"one"}).apply_gradients(pairs)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        values = session.run([variable for _, variable in pairs])
    np.testing.assert_allclose(values, [2.0 - 0.5 * 0.1 * 2.0, 2.0])


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_divides_by_its_epsilon_at_least(optimizer):
    variable = tf.get_variable("weights", initializer=tf.constant(1.0))
    options = OptimizerOptions(optimizer=optimizer, adam_epsilon=1.0, weight_decay=0.1)
    step = optimizers.create(options, tf.constant(0.1)).apply_gradients([(tf.ones([]), variable)])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        # TensorFlow's epsilon meets the uncorrected deviation, sqrt(1 - beta2) at first.
        share = np.sqrt(1e-3) / (np.sqrt(1e-3) + 1.0)
        assert session.run(variable) == pytest.approx(1.0 - 0.1 * share, rel=1e-5)
