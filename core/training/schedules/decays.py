"""Rates that are multiplied by a factor: every so many steps, at milestones, or all the time."""

from __future__ import annotations

from core.training.schedules import Moment, Rate, power
from options.schedule import ScheduleOptions
from utils.compat import tf


def step(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns base * factor ** (step // every)."""
    decays = tf.floordiv(moment.step, options.learning_rate_decay_step)
    return Rate(options.base_learning_rate * power(options.learning_rate_decay_factor, decays))


def multi_step(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns the rate between two milestones; a milestone is the first step of what follows.

    It is base * factor ** (milestones reached), or the rate given for their number.
    """
    rates = options.multi_step_learning_rates or tuple(
        options.base_learning_rate * options.learning_rate_decay_factor**reached
        for reached in range(len(options.multi_step_milestones) + 1)
    )
    milestones = tf.constant(options.multi_step_milestones, moment.step.dtype)
    reached = tf.reduce_sum(tf.cast(tf.greater_equal(moment.step, milestones), tf.int32))
    return Rate(tf.gather(tf.constant(rates, tf.float32), reached))


def exponential(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns base * factor ** (step / every).

    With --learning_rate_decay_step=1 it is that of PyTorch's ExponentialLR.
    """
    factor, every = options.learning_rate_decay_factor, options.learning_rate_decay_step
    whole = power(factor, tf.floordiv(moment.step, every))
    part = tf.cast(tf.floormod(moment.step, every), tf.float32) / float(every)
    return Rate(options.base_learning_rate * whole * tf.pow(float(factor), part))


VARIANTS = {"step": step, "multi_step": multi_step, "exponential": exponential}
