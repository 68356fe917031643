"""Exponential moving averages (EMA) of the weights.

An average is stored in the checkpoint under TensorFlow's usual name, the variable's followed by
`/ExponentialMovingAverage`. Evaluation, prediction and export use it with `--use_ema`.
"""

from __future__ import annotations

from core.checkpoints import names
from utils.compat import tf


def create(variables) -> list:
    """Returns the averages of variables, in their order.

    They start at zero and become the weights in the first update.
    """
    return [
        tf.get_variable(
            variable.op.name + names.EMA_SUFFIX,
            variable.shape,
            initializer=tf.zeros_initializer(),
            trainable=False,
        )
        for variable in variables
    ]


def decay_at(step: tf.Tensor, decay: float) -> tf.Tensor:
    """Returns the decay of an update, the weight of the old average, a float32 scalar.

    It is 0 in the first update, which copies the weights, and rises to its limit as
    made / (9 + made), so that a short run averages over what it has. (TensorFlow's rule for
    `num_updates` is the same, one update earlier.)

    Args:
      step: Updates made before, an integer scalar.
      decay: The limit.
    """
    made = tf.cast(step, tf.float32)
    return tf.minimum(decay, made / (9.0 + made))


def update(averages, variables, decay: tf.Tensor) -> tf.Operation:
    """Returns an operation that moves the averages towards the current values of the variables.

    Args:
      averages: From `create`.
      variables: The averaged variables, in the same order.
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
