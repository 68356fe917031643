"""The last part of a step: what its gradients do to the weights, unless they are no numbers.

A step whose loss or gradients are not finite is noted, and no update is applied from then on, so
that the weights stay those that the step failed with and the host can look for the reason. Where
a device runs a whole loop by itself the step is noted as well, but the loop goes on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.compat import tf

# What a step reports of itself, and what must be finite.
REPORTED = ("gradient_norm", "learning_rate", "loss", "reg_loss")

_LARGEST = np.finfo(np.float32).max


class BadStep(NamedTuple):
    """The first step that was not finite since the session was made, as tensors.

    Attributes:
      number: int64 scalar, the global step that it would have led to; 0 while there is none.
      values: Name -> float32 scalar, what it had: loss, reg_loss, learning_rate, gradient_norm.
    """

    number: tf.Tensor
    values: dict


def note_bad_step(global_step: tf.Variable, values: dict, *, excused=()) -> BadStep:
    """Notes the first step whose values are not finite.

    Args:
      global_step: Steps made before this one.
      values: Name -> float32 scalar, for each name of REPORTED.
      excused: Names of values that need not be finite.
    """
    number = _local_variable("bad_step", np.int64(0))
    noted = _local_variable("bad_step_values", np.zeros(len(REPORTED), np.float32))
    now = tf.stack([values[name] for name in REPORTED])
    # A comparison holds for no NaN, and devices know it that do not know is_finite.
    finite = tf.less_equal(tf.abs(now), _LARGEST)
    finite = tf.reduce_all(tf.logical_or(finite, [name in excused for name in REPORTED]))
    before = number.read_value()
    is_first = tf.logical_and(tf.equal(before, 0), tf.logical_not(finite))
    step = tf.cast(global_step.read_value(), tf.int64) + 1
    with tf.control_dependencies([before, step]):
        number = tf.identity(tf.assign(number, tf.where(is_first, step, before)))
        noted = tf.identity(tf.assign(noted, tf.where(is_first, now, noted.read_value())))
    return BadStep(number, dict(zip(REPORTED, tf.unstack(noted))))


def _local_variable(name, initial_value):
    return tf.Variable(
        initial_value, name=name, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES]
    )


def unless_bad(bad_step: BadStep, apply, *, can_branch: bool) -> tf.Operation:
    """Returns the operation that updates, unless this step or an earlier one was not finite.

    Args:
      bad_step: From `note_bad_step`.
      apply: Function without arguments that builds the update and returns its operation.
      can_branch: Whether the device may leave out a part of the graph; else the update is made.
    """
    # One operation to wait for: control edges are made for each operation of an update.
    noted = tf.group(bad_step.number, *bad_step.values.values())
    if not can_branch:
        with tf.control_dependencies([noted]):
            return apply()

    def applied():
        # Variables that an optimizer makes shall not be named after the branch.
        with tf.name_scope(None), tf.control_dependencies([apply()]):
            return tf.constant(True)

    with tf.control_dependencies([noted]):
        is_good = tf.equal(bad_step.number, 0)
    return tf.cond(is_good, applied, lambda: tf.constant(False)).op
