"""Rates that rise and fall: one cycle over the training, or many."""

from __future__ import annotations

from core.training.schedules import Moment, Rate, half_wave, line, power, share_left
from options.schedule import ScheduleOptions
from utils.compat import tf

_SHAPES = {"cos": half_wave, "linear": line}


def one_cycle(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns the rate that rises to the base, and then falls far below where it began.

    The peak is at `rising share * total - 1`, the end at `total - 1`, as in PyTorch's OneCycleLR;
    the last rate stays. Source: super-convergence (arXiv 1708.07120).
    """
    move = _SHAPES[options.one_cycle_shape]
    peak = options.base_learning_rate
    first = peak / options.one_cycle_division
    top = options.one_cycle_rising_share * moment.total - 1.0
    last = moment.total - 1.0

    def rising(low, high):
        return move(share_left(moment.step, top), low, high)

    def falling(high, low):
        return move(share_left(moment.step, last, top), high, low)

    def joined(low, high, end):
        if top <= 0.0:
            return falling(high, end)
        if last <= top:
            return rising(low, high)
        is_rising = tf.less_equal(tf.cast(moment.step, tf.float32), top)
        return tf.where(is_rising, rising(low, high), falling(high, end))

    rate = joined(first, peak, first / options.one_cycle_final_division)
    return Rate(rate, joined(0.0, 1.0, 0.0))


def cyclic(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns the rate that rises from the base to the maximum and falls back, again and again.

    Source: cyclical learning rates (arXiv 1506.01186); triangular2 halves the height with each
    cycle, exp_range multiplies it by a factor with each step.
    """
    up = options.cyclic_steps_up
    length = up + (options.cyclic_steps_down or up)
    place = tf.floormod(moment.step, length)
    rising = tf.cast(place, tf.float32) / float(up)
    falling = tf.cast(length - place, tf.float32) / float(length - up)
    height = tf.minimum(rising, falling)
    if options.cyclic_mode == "triangular2":
        height *= power(0.5, tf.floordiv(moment.step, length))
    if options.cyclic_mode == "exp_range":
        height *= power(options.cyclic_factor, moment.step)
    base = options.base_learning_rate
    return Rate(line(height, options.cyclic_maximum_learning_rate, base), height)


VARIANTS = {"one_cycle": one_cycle, "cyclic": cyclic}
