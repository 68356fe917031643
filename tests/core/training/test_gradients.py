"""Norm, clipping, and gradients of several batches in turn."""

from unittest import mock

import numpy as np
import pytest

from core.training import gradients
from options.optimizer import OptimizerOptions
from utils.compat import tf

FIRST = np.float32([3.0, 0.0])
SECOND = np.float32([[0.0, 4.0]])


def pairs():
    first = tf.get_variable("first", [2])
    second = tf.get_variable("second", [1, 2])
    unused = tf.get_variable("unused", [2])
    return [(tf.constant(FIRST), first), (tf.constant(SECOND), second), (None, unused)]


def evaluate(tensors):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


def test_the_norm_is_that_of_all_gradients_together():
    assert evaluate(gradients.global_norm(pairs())) == pytest.approx(5.0)


@pytest.mark.parametrize(("limit", "factor"), [(1.0, 0.2), (5.0, 1.0), (9.0, 1.0), (0.0, 1.0)])
def test_clipping_keeps_the_direction_and_limits_the_norm(limit, factor):
    given = pairs()
    clipped = gradients.clip(
        given, gradients.global_norm(given), OptimizerOptions(clip_gradient_norm=limit)
    )
    assert [variable for _, variable in clipped] == [variable for _, variable in given]
    assert clipped[2][0] is None
    first, second = evaluate([gradient for gradient, _ in clipped[:2]])
    np.testing.assert_allclose(first, FIRST * factor, rtol=1e-6)
    np.testing.assert_allclose(second, SECOND * factor, rtol=1e-6)


def test_clipping_by_value_limits_each_element_on_both_sides():
    (first, variable), (second, other), missing = pairs()
    given = [(first, variable), (-second, other), missing]
    clipped = gradients.clip(given, tf.constant(5.0), OptimizerOptions(clip_gradient_value=2.0))
    assert clipped[2][0] is None
    first, second = evaluate([gradient for gradient, _ in clipped[:2]])
    np.testing.assert_allclose(first, [2.0, 0.0])
    np.testing.assert_allclose(second, [[0.0, -2.0]])


def test_a_batch_is_split_in_its_order():
    images = tf.reshape(tf.range(6), [6, 1])
    parts = evaluate(gradients.split(images, 3))
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(6)[:, None])
    assert gradients.split(images, 1) == [images]


def in_turn(count, loss_factor=1.0):
    """Returns gradients of mean squares over `count` batches in turn, and those at once."""
    inputs = tf.constant(np.random.RandomState(0).randn(6, 3).astype(np.float32))
    weights = tf.get_variable("weights", initializer=tf.constant([[1.0], [-2.0], [0.5]]))
    biases = tf.get_variable("biases", initializer=tf.constant([0.1]))

    def loss_of(batch):
        return tf.reduce_mean(tf.square(tf.matmul(batch, weights) + biases))

    parts = [
        gradients.Part(batch, loss_of(batch))
        for batch in gradients.split(tf.identity(inputs), count)
    ]
    total = tf.add_n([part.loss for part in parts]) / count
    optimizer = gradients.GradientAccumulation(tf.train.GradientDescentOptimizer(0.1), parts)
    turn = optimizer.compute_gradients(loss_factor * total, [weights, biases])
    once = tf.gradients(loss_factor * loss_of(inputs), [weights, biases])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(([gradient for gradient, _ in turn], once))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_accumulated_gradients_are_those_of_one_batch(count):
    turn, once = in_turn(count)
    for value, expected in zip(turn, once):
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_scaled_loss_scales_accumulated_gradients():
    turn, once = in_turn(2, loss_factor=1024.0)
    for value, expected in zip(turn, once):
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_batch_waits_for_the_gradients_of_the_one_before():
    images = tf.ones([2, 3])
    weight = tf.get_variable("weight", [3, 1])
    batches = gradients.split(images, 2)
    parts = [gradients.Part(batch, tf.reduce_sum(tf.matmul(batch, weight))) for batch in batches]
    optimizer = gradients.GradientAccumulation(tf.train.GradientDescentOptimizer(0.1), parts)
    optimizer.compute_gradients(parts[0].loss + parts[1].loss, [weight])
    (earlier,) = batches[1].op.control_inputs
    assert all("gradients" in operation.name for operation in earlier.control_inputs)
    assert not batches[0].op.control_inputs


def test_terms_of_single_variables_are_added():
    weights = tf.get_variable("weights", initializer=tf.constant([1.0, -2.0]))
    frozen = tf.get_variable("frozen", initializer=tf.constant([3.0]))
    plain = tf.get_variable("plain", initializer=tf.constant([4.0]))
    loss = tf.reduce_sum(tf.square(weights)) + tf.reduce_sum(plain)
    pairs = list(zip(tf.gradients(loss, [weights, frozen, plain]), [weights, frozen, plain]))
    terms = {"weights": 0.1 * tf.nn.l2_loss(weights), "frozen": 0.1 * tf.nn.l2_loss(frozen)}
    found = evaluate([gradient for gradient, _ in gradients.with_terms(pairs, terms)])
    for value, expected in zip(found, ([2.1, -4.2], [0.3], [1.0])):
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_gradient_of_a_term_waits_for_the_one_it_is_added_to():
    weights = tf.get_variable("weights", [3])
    (gradient,) = tf.gradients(tf.reduce_sum(tf.square(weights)), [weights])
    ((total, _),) = gradients.with_terms(
        [(gradient, weights)], {"weights": 0.1 * tf.nn.l2_loss(weights)}
    )
    (own,) = [tensor.op for tensor in total.op.inputs if tensor is not gradient]
    assert gradient.op in everything_before(own)


def test_all_terms_are_differentiated_by_one_walk_through_the_graph():
    weights = [tf.get_variable(f"weights_{number}", [3]) for number in range(3)]
    pairs = [(None, variable) for variable in weights]
    terms = {variable.op.name: tf.nn.l2_loss(variable) for variable in weights[:2]}
    with mock.patch.object(tf, "gradients", wraps=tf.gradients) as differentiate:
        found = [gradient for gradient, _ in gradients.with_terms(pairs, terms)]
    assert differentiate.call_count == 1
    assert found[2] is None
    for gradient, variable in zip(found[:2], weights):
        np.testing.assert_array_equal(*evaluate([gradient, variable]))


def test_gradients_stay_where_there_are_no_terms():
    weights = tf.get_variable("weights", [3])
    pairs = [(tf.ones([3]), weights)]
    assert gradients.with_terms(pairs, {}) == pairs


def everything_before(operation):
    found, waiting = set(), [operation]
    while waiting:
        last = waiting.pop()
        before = {tensor.op for tensor in last.inputs} | set(last.control_inputs)
        waiting += before - found
        found |= before
    return found
