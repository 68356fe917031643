"""Half waves of a cosine, without and with restarts."""

from __future__ import annotations

from core.training.schedules import Moment, Rate, half_wave, share_left
from options.schedule import ScheduleOptions
from utils.compat import tf

# The number of a training's steps fits into an int32.
_MOST_STEPS = 2**31


def cosine(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns half a period of a cosine over the training; the end stays.

    With --cosine_steps the wave goes on: the rate rises again to the base after as many steps, as
    PyTorch's CosineAnnealingLR lets it.

    Source: SGDR (arXiv 1608.03983), section 3, without restarts.
    """
    if not options.cosine_steps:
        return _between(options, share_left(moment.step, moment.total))
    length = options.cosine_steps
    place = tf.floormod(moment.step, 2 * length)
    return _between(options, tf.cast(tf.abs(length - place), tf.float32) / float(length))


def cosine_restarts(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns half a period of a cosine again and again, each as long as the last by a factor.

    Source: SGDR (arXiv 1608.03983), section 3; the first period T_0 is --cosine_steps, the factor
    T_mult is --cosine_multiplier.
    """
    length, factor = options.cosine_steps, options.cosine_multiplier
    if factor == 1:
        left = length - tf.floormod(moment.step, length)
        return _between(options, tf.cast(left, tf.float32) / float(length))
    ends, lengths = [length], [length]
    while ends[-1] < _MOST_STEPS:
        lengths.append(lengths[-1] * factor)
        ends.append(ends[-1] + lengths[-1])
    step = tf.cast(moment.step, tf.int64)
    finished = tf.greater_equal(step, tf.constant(ends, tf.int64))
    period = tf.reduce_sum(tf.cast(finished, tf.int32))
    left = tf.gather(tf.constant(ends, tf.int64), period) - step
    return _between(
        options,
        tf.cast(left, tf.float32) / tf.gather(tf.constant(lengths, tf.float32), period),
    )


def _between(options: ScheduleOptions, left) -> Rate:
    return Rate(half_wave(left, options.base_learning_rate, options.cosine_end_learning_rate))


VARIANTS = {"cosine": cosine, "cosine_restarts": cosine_restarts}
