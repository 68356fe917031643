"""Averages of the weights over training (exponential moving averages, EMA).

An average lies in the checkpoint under TensorFlow's usual name, the variable's with
`/ExponentialMovingAverage` behind it. Evaluation, prediction and export take the averages with
`--use_ema`.
"""

from __future__ import annotations

from utils.compat import tf

SUFFIX = "/ExponentialMovingAverage"


def create(variables) -> list:
    """Returns the averages of variables, in their order.

    They start at zero and become the weights in the first update.
    """
    return [
        tf.get_variable(
            variable.op.name + SUFFIX,
            variable.shape,
            initializer=tf.zeros_initializer(),
            trainable=False,
        )
        for variable in variables
    ]


def decay_at(step: tf.Tensor, decay: float) -> tf.Tensor:
    """Returns the weight of the old average in an update, a float32 scalar.

    It is 0 in the first update, which makes the average the weights, and rises to its limit as
    made / (9 + made), so that a short run averages over what it has. (TensorFlow's rule for
    `num_updates` is the same, one update earlier.)

    Args:
      step: Updates made before, an integer scalar.
      decay: The limit.
    """
    made = tf.cast(step, tf.float32)
    return tf.minimum(decay, made / (9.0 + made))


def update(averages, variables, decay: tf.Tensor) -> tf.Operation:
    """Returns an operation that moves the averages towards the variables' present values.

    Args:
      averages: From `create`.
      variables: The variables that these are of, in their order.
      decay: float32 scalar in [0, 1], the weight of the old average; see `decay_at`.
    """
    return tf.group(
        *(
            tf.assign_sub(
                average, (average.read_value() - variable.read_value()) * (1.0 - decay)
            ).op
            for average, variable in zip(averages, variables)
        )
    )
