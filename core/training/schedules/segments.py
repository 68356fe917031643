"""A rate made of segments, each from one rate to another in one of seven shapes."""

from __future__ import annotations

import math

from core.training.schedules import Moment, Rate, line, steps_of
from options.schedule import ScheduleOptions
from options.segments import Segment
from utils.compat import tf

_QUARTER = 0.5 * math.pi

# Shape -> function (passed and left shares of the segment) -> share of the way to its end. Sines of
# what is small at the far end of a shape keep all its digits there.
_SHAPES = {
    "const": lambda passed, left: tf.zeros_like(passed),
    "linear": lambda passed, left: passed,
    "sin+": lambda passed, left: tf.sin(_QUARTER * passed),
    "sin-": lambda passed, left: 2.0 * tf.square(tf.sin(0.5 * _QUARTER * left)),
    "cos+": lambda passed, left: 2.0 * tf.square(tf.sin(0.5 * _QUARTER * passed)),
    "cos-": lambda passed, left: tf.sin(_QUARTER * left),
}


def segments(options: ScheduleOptions, moment: Moment) -> Rate:
    """Returns the rate of the segment that the step is in; the last rate stays.

    A segment of n steps has its end's rate at its last step. The shapes with a minus go the other
    way: from the end's rate to the start's. They are those of the Musket pipeline's LRVariator.
    """
    step = moment.step
    if options.period is not None:
        step = tf.floormod(step, steps_of(options.period, moment.steps_per_epoch))
    begin, start, pieces = 0, options.base_learning_rate, []
    for segment in options.segments:
        start = start if segment.start is None else segment.start
        length = steps_of(segment.length, moment.steps_per_epoch)
        pieces.append((begin, _rate(segment, start, step - begin, length)))
        begin, start = begin + length, segment.end
    rate = pieces[0][1]
    for begin, following in pieces[1:]:
        rate = tf.where(tf.less(step, begin), rate, following)
    return Rate(rate)


def _rate(segment: Segment, start: float, step, length: int):
    last = max(length - 1, 1)
    steps = tf.minimum(tf.maximum(step, 0), length - 1)
    passed = tf.cast(steps, tf.float32) / float(last)
    if segment.shape in _SHAPES:
        way = _SHAPES[segment.shape](passed, tf.cast(last - steps, tf.float32) / float(last))
    else:
        way = tf.pow(passed, segment.shape)
    return line(way, segment.end, start)


VARIANTS = {"segments": segments}
