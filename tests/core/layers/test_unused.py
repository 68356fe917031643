"""Layers that no output depends on are dropped, with all that belongs to them."""

import pytest

from core import layers
from utils.compat import tf

_TRAINS = layers.Mode(is_training=True, fine_tune_batch_norm=True, weight_decay=0.1)


def _build():
    """Returns the outputs of two of three layers in a scope, and adds one outside."""
    outputs = tf.zeros([2, 8, 8, 3])
    layers.conv2d(outputs, 4, 1, mode=_TRAINS, scope="other")
    with tf.variable_scope("net"), layers.arg_scope(_TRAINS, decay=0.9):
        first = layers.conv2d(outputs, 4, 3, scope="a")
        second = layers.conv2d(first, 4, 3, scope="b")
        layers.conv2d(second, 4, 3, scope="c")
    return first, second


def _names(key):
    return {variable.op.name.rsplit("/", 1)[0] for variable in tf.get_collection(key)}


@pytest.mark.parametrize("calls", [1, 2])
def test_what_belongs_to_an_unused_layer_of_the_scope_is_dropped(calls):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        for _ in range(calls):
            layers.drop_unused("net", _build())
    kept = {"other", "net/a", "net/a/BatchNorm", "net/b", "net/b/BatchNorm"}
    keys = tf.GraphKeys
    for key in (keys.GLOBAL_VARIABLES, keys.MODEL_VARIABLES, keys.TRAINABLE_VARIABLES):
        assert _names(key) == kept
    updated = [item.updated_variable.op.name for item in tf.get_collection(keys.UPDATE_OPS)]
    assert len(updated) == 4 * calls
    assert {name.split("/")[1] for name in updated} == {"a", "b"}
    decayed = [loss.op.name.split("/Reg")[0] for loss in tf.losses.get_regularization_losses()]
    assert sorted(decayed) == ["net/a/weights", "net/b/weights", "other/weights"]


def test_a_moving_average_is_kept_though_a_network_that_trains_does_not_read_it():
    a, _ = _build()
    layers.drop_unused("net", [a])
    names = [variable.op.name for variable in tf.model_variables()]
    assert "net/a/BatchNorm/moving_mean" in names
    assert "net/b/weights" not in names


def test_a_second_call_keeps_the_variables_of_an_optimizer():
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        for _ in range(2):
            _, b = _build()
            layers.drop_unused("net", [b])
            tf.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(b))
    assert "net/b/weights/Momentum" in [item.op.name for item in tf.global_variables()]
