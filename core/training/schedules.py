"""Learning rates as functions of the global step.

Each is a few float32 operations on the global step, without Python in the loop, so that the rate
also changes while a device makes many steps on its own.
"""

from __future__ import annotations

import math

from options.training import TrainingSpec
from utils.compat import tf
from utils.errors import OptionError


def learning_rate(config: TrainingSpec, global_step, *, burn_in: str = "none") -> tf.Tensor:
    """Returns the rate of the step that comes after `global_step` steps, a float32 scalar.

    Args:
      config: The training; with the optimizer adam its own constant rate is returned.
      global_step: Steps done so far, an integer scalar tensor.
      burn_in: Course of the rate during slow_start_step, see `slow_start`.

    Raises:
      OptionError: If burn_in is unknown.
    """
    if config.optimizer.optimizer == "adam":
        return tf.constant(config.optimizer.adam_learning_rate, tf.float32, name="learning_rate")
    options = config.schedule
    steps = config.train.training_number_of_steps - options.slow_start_step
    step = tf.maximum(global_step - options.slow_start_step, 0)
    return slow_start(
        _POLICIES[options.learning_policy](options, step, steps),
        global_step,
        base=options.base_learning_rate,
        steps=options.slow_start_step,
        start=options.slow_start_learning_rate,
        burn_in=burn_in,
    )


def poly(step, base: float, total_steps: float, power: float = 0.9, end: float = 0.0):
    """Returns the polynomial rate (base - end) * (1 - step / total_steps) ** power + end.

    Source: DeepLabV3 (arXiv 1706.05587), section 4.1.

    Args:
      step: Steps done so far, an integer scalar tensor.
      base: The rate at step zero.
      total_steps: Steps until the rate reaches `end`, where it stays.
      power: How the rate falls; 1.0 is a straight line.
      end: The last rate.
    """
    left = 1.0 - _progress(step, total_steps)
    return (base - end) * tf.pow(left, power) + end


def staircase(step, base: float, factor: float, every: int):
    """Returns base * factor ** (step // every), a float32 scalar.

    Args:
      step: Steps done so far, an integer scalar tensor.
      base: The rate at step zero.
      factor: What the rate is multiplied by each time, 0 to 1.
      every: Steps between two falls, > 0.
    """
    falls = tf.floor(tf.cast(step, tf.float32) / float(every))
    return base * tf.pow(factor, falls)


def cosine(step, base: float, total_steps: float):
    """Returns half a period of a cosine, from base at step 0 to 0 at total_steps.

    Source: arXiv 1608.03983, section 3, without restarts.

    Args:
      step: Steps done so far, an integer scalar tensor.
      base: The rate at step zero.
      total_steps: Steps until the rate reaches zero, > 0; later steps give zero.
    """
    return 0.5 * base * (1.0 + tf.cos(math.pi * _progress(step, total_steps)))


def piecewise(step, boundaries, rates):
    """Returns rates[i] with i the number of boundaries below the step.

    A boundary step itself still has the old rate.

    Args:
      step: Steps done so far, an integer scalar tensor.
      boundaries: Ascending steps.
      rates: One rate more than there are boundaries.

    Raises:
      OptionError: If boundaries are missing, not ascending, or do not fit the rates.
    """
    boundaries, rates = list(boundaries or ()), list(rates or ())
    if not boundaries or boundaries != sorted(set(boundaries)):
        raise OptionError(f"the boundaries are {boundaries}, but must be ascending steps.")
    if len(rates) != len(boundaries) + 1:
        raise OptionError(
            f"there are {len(rates)} rates for {len(boundaries)} boundaries; give one rate more "
            "than boundaries."
        )
    passed = tf.cast(tf.greater(step, tf.constant(boundaries, step.dtype)), tf.int32)
    return tf.gather(tf.constant(rates, tf.float32), tf.reduce_sum(passed))


def slow_start(rate, global_step, *, base: float, steps: int, start: float, burn_in: str = "none"):
    """Returns another rate during the first steps, then the given one.

    Args:
      rate: The rate of the policy.
      global_step: Steps done so far.
      base: The rate that a linear burn-in ends at.
      steps: Length of the slow start; 0 for none.
      start: The rate at step zero.
      burn_in: "none" keeps `start`, "linear" rises from it to `base`.

    Raises:
      OptionError: If burn_in is unknown.
    """
    if burn_in not in ("none", "linear"):
        raise OptionError(f"burn_in is {burn_in}, but must be none or linear.")
    if not steps:
        return rate
    first = tf.constant(start, tf.float32)
    if burn_in == "linear":
        first += (base - start) * tf.cast(global_step, tf.float32) / float(steps)
    return tf.where(tf.less(global_step, steps), first, rate)


def _progress(step, total_steps):
    """Returns step / total_steps as float32, at most 1."""
    total_steps = float(total_steps)
    return tf.minimum(tf.cast(step, tf.float32), total_steps) / total_steps


_POLICIES = {
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
