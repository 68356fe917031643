"""The learning rate and the momentum of a training as functions of the global step."""

from __future__ import annotations

import fractions

from core.training import schedules
from core.training.schedules import Moment, Rate, line
from options.config import Config
from utils import variants
from utils.compat import tf
from utils.errors import OptionError

# Name -> function (options, moment) -> `Rate` of every policy; the folder is the registry.
POLICIES = variants.collect(schedules)


def learning_rate(config: Config, global_step, steps_per_epoch=None) -> tf.Tensor:
    """Returns the rate of the step that comes after `global_step` steps, a float32 scalar.

    Args:
      config: The training; an optimizer may have a constant rate instead of the schedule.
      global_step: Steps done so far, an integer scalar tensor.
      steps_per_epoch: Images of the split / images of a step, exact (an integer or a Fraction);
        None where no option counts epochs.

    Raises:
      OptionError: If the slow start takes all of the training.
    """
    if config.optimizer.has_constant_rate:
        return tf.constant(config.optimizer.adam_learning_rate, tf.float32, name="learning_rate")
    options = config.schedule
    step = _counted(options, global_step, steps_per_epoch)
    rate = _of_policy(config, step, steps_per_epoch).learning_rate
    return _with_slow_start(options, step, rate)


def momentum(config: Config, global_step, steps_per_epoch=None) -> tf.Tensor | None:
    """Returns the momentum that the schedule gives, a float32 scalar; None where it gives none.

    Args:
      config: The training.
      global_step: Steps done so far, an integer scalar tensor.
      steps_per_epoch: As in `learning_rate`.
    """
    limits = config.schedule.cycled_momentum
    if limits is None or not config.optimizer.row.momentum or config.optimizer.has_constant_rate:
        return None
    step = _counted(config.schedule, global_step, steps_per_epoch)
    smallest, largest = limits
    return line(_of_policy(config, step, steps_per_epoch).height, smallest, largest)


def counts_epochs(config: Config) -> bool:
    """Whether the rate depends on the number of steps in an epoch."""
    options = config.schedule
    return options.learning_rate_unit == "epoch" or options.counts_epochs_in_segments


def _of_policy(config, step, steps_per_epoch) -> Rate:
    options = config.schedule
    total = _total(config, steps_per_epoch) - options.slow_start_step
    if total <= 0:
        raise OptionError(
            f"--slow_start_step={options.slow_start_step} must be below the training's "
            f"{total + options.slow_start_step} {options.learning_rate_unit}s."
        )
    after = tf.cast(tf.maximum(step - options.slow_start_step, 0), tf.int32)
    return POLICIES[options.learning_policy](options, Moment(after, total, steps_per_epoch))


def _with_slow_start(options, step, rate):
    end = options.slow_start_step
    if not end:
        return rate
    slow = tf.constant(options.slow_start_learning_rate, tf.float32)
    if options.slow_start_shape == "linear":
        passed = tf.cast(step, tf.float32) / float(end)
        slow = line(passed, options.base_learning_rate, options.slow_start_learning_rate)
    return tf.where(tf.less(step, end), slow, rate)


def _counted(options, global_step, steps_per_epoch):
    """Returns what the schedule counts: the steps, or the epochs that are over."""
    if options.learning_rate_unit == "step":
        return global_step
    length = fractions.Fraction(steps_per_epoch)
    return tf.floordiv(global_step * length.denominator, length.numerator)


def _total(config, steps_per_epoch) -> int:
    """Returns the steps or epochs of the training.

    Its steps may be some more than its epochs have, because the last one is completed.
    """
    steps = config.train.training_number_of_steps
    if config.schedule.learning_rate_unit == "step":
        return steps
    return max(1, round(steps / fractions.Fraction(steps_per_epoch)))
