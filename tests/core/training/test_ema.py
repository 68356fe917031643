"""Averages of weights over training."""

import numpy as np

from core.training import ema
from utils.compat import tf


def test_an_average_starts_as_the_weights_and_follows_them_with_its_decay():
    weights = tf.get_variable("layer/weights", [2], initializer=tf.zeros_initializer())
    made = tf.get_variable("made", [], tf.int64, initializer=tf.zeros_initializer())
    values = tf.placeholder(tf.float32, [2])
    (average,) = ema.create([weights])
    assert average.op.name == "layer/weights/ExponentialMovingAverage"
    assign = tf.assign(weights, values)
    with tf.control_dependencies([assign]):
        update = ema.update([average], [weights], ema.decay_at(made, 0.5))
    count = tf.assign_add(made, 1)
    expected = None
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step, value in enumerate(np.random.RandomState(0).randn(20, 2).astype(np.float32)):
            session.run(update, {values: value})
            session.run(count)
            decay = min(0.5, step / (9 + step))
            expected = value if expected is None else decay * expected + (1 - decay) * value
            np.testing.assert_allclose(session.run(average), expected, rtol=1e-5, atol=1e-6)
