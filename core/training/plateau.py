"""The learning rate on a plateau: a factor that the host sets between loops.

The factor is a variable, so the rate also holds while a device runs a loop of many steps. It is no
part of a checkpoint: what it is after a step follows from the state in `monitor.json`.
"""

from __future__ import annotations

from typing import NamedTuple

from options.monitor import MonitorOptions
from utils.compat import tf


class Plateau(NamedTuple):
    """The factor of the learning rate.

    Attributes:
      new: float32 placeholder of the factor.
      assign: Operation that takes it over.
    """

    new: tf.Tensor
    assign: tf.Operation

    def set(self, session, multiplier: float):
        """Makes the steps from here on use a factor."""
        session.run(self.assign, {self.new: multiplier})


def lowered(rate, options: MonitorOptions) -> tuple:
    """Returns the rate with its factor, 1 at first, and the `Plateau` that sets it.

    Both are as they were, and None, if no plateau lowers the rate.

    Args:
      rate: The scheduled rate, a float32 scalar.
      options: The patience, and the smallest rate: a scheduled one below it is left as it is.
    """
    if not options.plateau_patience:
        return rate, None
    multiplier = tf.Variable(
        1.0,
        name="plateau_multiplier",
        trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
    new = tf.placeholder(tf.float32, [], name="new_plateau_multiplier")
    plateau = Plateau(new, tf.assign(multiplier, new).op)
    smallest = tf.constant(options.plateau_minimum_learning_rate, tf.float32)
    return tf.minimum(rate, tf.maximum(rate * multiplier.read_value(), smallest)), plateau
