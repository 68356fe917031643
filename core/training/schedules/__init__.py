"""Learning rate policies, one file per policy; what a file's VARIANTS name is a policy's name.

A policy is a function (options, moment) -> `Rate`: a few float32 operations on a count of steps,
without Python in the loop, so the rate also changes while a device runs a loop of many steps, and a
continued run has the rates of one without a break. `core/training/rates.py` chooses the policy; its
flags are in `options/schedule.py`.

Counts are taken as integers until a difference or a remainder is known: near the end of a long
training float32 of 1 - step / total has few digits left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from options.segments import Length
from utils.compat import tf

_DIGIT = 64
_DIGITS = 4


class Moment(NamedTuple):
    """Where the training is, in the unit of the schedule.

    Attributes:
      step: Steps (or epochs) since the end of the slow start, an int32 scalar tensor, at least 0.
      total: How many there are, without the slow start.
      steps_per_epoch: Steps in an epoch, for lengths given in epochs; None where none is.
    """

    step: tf.Tensor
    total: int
    steps_per_epoch: float | None = None


class Rate(NamedTuple):
    """What a policy says of a step.

    Attributes:
      learning_rate: float32 scalar.
      height: For policies that cycle the momentum: 0 at the lowest rate, 1 at the peak, float32.
    """

    learning_rate: tf.Tensor
    height: tf.Tensor | None = None


def share_left(step, end: float, start: float = 0.0) -> tf.Tensor:
    """Returns (end - step) / (end - start) as float32, at least 0 and at most 1.

    Args:
      step: An integer scalar tensor.
      end: Where nothing is left, above `start`; need not be whole.
      start: Where all is left.
    """
    whole = math.floor(end)
    left = tf.cast(whole - step, tf.float32) + float(end - whole)
    return tf.minimum(tf.maximum(left / float(end - start), 0.0), 1.0)


def half_wave(left, start: float, end: float) -> tf.Tensor:
    """Returns half a period of a cosine from `start` to `end`, float32.

    (1 + cos(pi * elapsed)) / 2 is the square of sin(pi / 2 * left), which has all its digits near
    the end.

    Args:
      left: Share that is left, 1 at the start and 0 at the end, float32.
      start: The value where all is left.
      end: The value where nothing is left.
    """
    return line(tf.square(tf.sin(0.5 * math.pi * left)), start, end)


def line(left, start: float, end: float) -> tf.Tensor:
    """Returns the straight line from `start` to `end`; see `half_wave`.

    The difference of the two is not taken, which would leave few digits of the smaller one.
    """
    return start * left + end * (1.0 - left)


def power(factor: float, exponent) -> tf.Tensor:
    """Returns factor ** exponent as float32 with all its digits.

    float32 of the factor is off by 6e-8, and its power by that times the exponent. So the powers
    of the exponent's digits in base 64 are taken in Python and multiplied.

    Args:
      factor: Above 0.
      exponent: An integer scalar tensor from 0 to 16,777,215.
    """
    product = None
    largest = float(np.finfo(np.float32).max)
    for place in range(_DIGITS):
        unit = _DIGIT**place
        with np.errstate(over="ignore", under="ignore"):
            powers = np.power(np.float64(factor), np.arange(_DIGIT, dtype=np.float64) * unit)
        table = tf.constant(np.minimum(powers, largest).astype(np.float32))
        value = tf.gather(table, tf.floormod(tf.floordiv(exponent, unit), _DIGIT))
        product = value if product is None else product * value
    return product


def steps_of(length: Length, steps_per_epoch) -> int:
    """Returns the steps of a length, at least 1; a part of a step is dropped."""
    count = length.count * float(steps_per_epoch) if length.in_epochs else length.count
    return max(1, int(count))
