"""The polynomial rate, and the constant one."""

from __future__ import annotations

from core.training.schedules import Moment, Rate, line, share_left
from options.schedule import ScheduleOptions
from utils.compat import tf


def poly(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns (base - end) * (1 - step / total) ** power + end; the end stays.

    Source: DeepLabV3 (arXiv 1706.05587), section 4.1.
    """
    base, end = options.base_learning_rate, options.end_learning_rate
    left = share_left(moment.step, options.decay_steps or moment.total)
    return Rate(line(tf.pow(left, options.learning_power), base, end))


def constant(options: ScheduleOptions, unused_moment: Moment) -> Rate:
    """Returns the base rate."""
    return Rate(tf.constant(options.base_learning_rate, tf.float32))


VARIANTS = {"poly": poly, "constant": constant}
