"""Loss scaling: the same update, and none from a step that overflowed."""

import numpy as np
import pytest

from core.training import gradients
from deployment.devices.loss_scaling import LossScaling
from utils.compat import tf


def _step(factor, **settings):
    """Returns the scaling, the weight and the operation of a step whose gradient is factor."""
    weight = tf.get_variable("weight", [], initializer=tf.constant_initializer(1.0))
    scaling = LossScaling(tf.train.MomentumOptimizer(0.5, 0.9), **settings)
    pairs = scaling.compute_gradients(weight * factor, [weight])
    step = tf.train.get_or_create_global_step()
    return scaling, weight, pairs, scaling.apply_gradients(pairs, global_step=step)


def test_gradients_and_update_are_those_of_the_loss():
    _, weight, pairs, train = _step(tf.constant(0.25))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(pairs[0][0]) == pytest.approx(0.25)
        session.run(train)
        assert session.run(weight) == pytest.approx(1.0 - 0.5 * 0.25)


def test_a_step_that_overflows_changes_no_weight_counts_and_halves_the_factor():
    scaling, weight, _, train = _step(tf.constant(np.float32(1e37)))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run(weight) == 1.0
        assert session.run(scaling.scale) == 2.0**14
        assert session.run(tf.train.get_global_step()) == 1
        assert session.run(scaling.variables()[0]) == 0.0


def test_a_fixed_factor_stays_and_leaves_out_what_overflows():
    factor = tf.placeholder_with_default(np.float32(np.inf), [])
    scaling, weight, _, train = _step(factor, fixed=8.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run([weight, scaling.scale]) == [1.0, 8.0]
        session.run(train, {factor: 0.25})
        assert session.run([weight, scaling.scale]) == [1.0 - 0.5 * 0.25, 8.0]


def test_gradients_of_several_batches_are_those_of_the_loss():
    weight = tf.get_variable("weight", [], initializer=tf.constant_initializer(1.0))
    images = [tf.constant(0.25), tf.constant(0.5)]
    parts = [gradients.Part(image, weight * image) for image in images]
    optimizer = gradients.GradientAccumulation(tf.train.GradientDescentOptimizer(1.0), parts)
    scaling = LossScaling(optimizer, fixed=1024.0)
    ((gradient, _),) = scaling.compute_gradients(parts[0].loss + parts[1].loss, [weight])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(gradient) == pytest.approx(0.75)


def test_the_factor_is_doubled_after_enough_good_steps():
    scaling, _, _, train = _step(tf.constant(0.25), steps_to_double=2)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        factors = []
        for _ in range(4):
            session.run(train)
            factors.append(session.run(scaling.scale) / 2.0**15)
    assert factors == [1.0, 2.0, 2.0, 4.0]
