"""Learning rates as functions of the global step.

Each is a few float32 operations on the global step, without Python in the loop, so the rate also
changes while a device runs a loop of many steps.
"""

from __future__ import annotations

import math

from options.config import Config
from utils.compat import tf


def learning_rate(config: Config, global_step) -> tf.Tensor:
    """Returns the rate of the step that comes after `global_step` steps, a float32 scalar.

    Args:
      config: The training; an optimizer may have a constant rate instead of the schedule.
      global_step: Steps done so far, an integer scalar tensor.
    """
    if config.optimizer.row.has_constant_rate:
        return tf.constant(config.optimizer.adam_learning_rate, tf.float32, name="learning_rate")
    options = config.schedule
    start = options.slow_start_step
    rate = POLICIES[options.learning_policy](
        options,
        tf.maximum(global_step - start, 0),
        config.train.training_number_of_steps - start,
    )
    if not start:
        return rate
    slow = tf.constant(options.slow_start_learning_rate, tf.float32)
    return tf.where(tf.less(global_step, start), slow, rate)


def poly(step, base: float, total_steps: float, power: float = 0.9, end: float = 0.0):
    """Returns the polynomial rate (base - end) * (1 - step / total_steps) ** power + end.

    Source: DeepLabV3 (arXiv 1706.05587), section 4.1.

    Args:
      step: Steps done so far, an integer scalar tensor.
      base: The rate at step zero.
      total_steps: Steps until the rate reaches `end`, where it stays.
      power: Shape of the curve; 1.0 is a straight line.
      end: The last rate.
    """
    left = 1.0 - _progress(step, total_steps)
    return (base - end) * tf.pow(left, power) + end


def staircase(step, base: float, factor: float, every: int):
    """Returns base * factor ** (step // every), a float32 scalar.

    Args:
      step: Steps done so far, an integer scalar tensor.
      base: The rate at step zero.
      factor: What the rate is multiplied by at each decay, 0 to 1.
      every: Steps between two decays, > 0.
    """
    decays = tf.floor(tf.cast(step, tf.float32) / float(every))
    return base * tf.pow(factor, decays)


def cosine(step, base: float, total_steps: float):
    """Returns half a period of a cosine, from base at step 0 to 0 at total_steps.

    Source: arXiv 1608.03983, section 3, without restarts.

    Args:
      step: Steps done so far, an integer scalar tensor.
      base: The rate at step zero.
      total_steps: Steps until the rate reaches zero, > 0; later steps give zero.
    """
    return 0.5 * base * (1.0 + tf.cos(math.pi * _progress(step, total_steps)))


def _progress(step, total_steps):
    """Returns step / total_steps as float32, at most 1."""
    total_steps = float(total_steps)
    return tf.minimum(tf.cast(step, tf.float32), total_steps) / total_steps


# Name -> function (options, step, steps) -> the rate: `step` counts from the end of the slow start,
# which `steps` leaves of the training.
POLICIES = {
    "poly": lambda options, step, steps: poly(
        step,
        options.base_learning_rate,
        options.decay_steps or steps,
        options.learning_power,
        options.end_learning_rate,
    ),
    "step": lambda options, step, unused_steps: staircase(
        step,
        options.base_learning_rate,
        options.learning_rate_decay_factor,
        options.learning_rate_decay_step,
    ),
    "cosine": lambda options, step, steps: cosine(step, options.base_learning_rate, steps),
}
