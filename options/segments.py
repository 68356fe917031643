"""The segments of a learning rate as texts: SHAPE:START:END:LENGTH."""

from __future__ import annotations

import math
from typing import NamedTuple

from utils.errors import OptionError

# Shapes of a segment, beside a number: the power of the elapsed share.
SEGMENT_SHAPES = ("const", "linear", "sin+", "sin-", "cos+", "cos-")
EPOCHS = "epochs"


class Length(NamedTuple):
    """A number of steps, or of epochs.

    Attributes:
      count: How many.
      in_epochs: Whether they are epochs.
    """

    count: float
    in_epochs: bool


class Segment(NamedTuple):
    """One part of the policy `segments`.

    Attributes:
      shape: One of `SEGMENT_SHAPES`, or the power of the elapsed share.
      start: Rate at share 0; None: where the segment before ends.
      end: Rate at share 1.
      length: How long it lasts.
    """

    shape: str | float
    start: float | None
    end: float
    length: Length


def parse(text: str) -> Segment:
    """Returns the segment that SHAPE:START:END:LENGTH stands for.

    Raises:
      OptionError: If it is none; the message names the part.
    """
    flag = f"--learning_rate_segment={text}"
    parts = text.split(":")
    if len(parts) != 4:
        raise OptionError(
            f"{flag} has {len(parts)} parts, but must be SHAPE:START:END:LENGTH, such as "
            "linear:0.001:0.01:500."
        )
    shape, start, end, length = (part.strip() for part in parts)
    return Segment(
        shape if shape in SEGMENT_SHAPES else _power(shape, flag),
        _rate(start, flag) if start else None,
        _rate(end, flag),
        length_of(length, flag),
    )


def _power(text: str, flag: str) -> float:
    value = _number(text)
    if value is None or value <= 0.0:
        raise OptionError(
            f"{flag}: {text!r} is no shape; it must be one of {', '.join(SEGMENT_SHAPES)}, or a "
            "positive number."
        )
    return value


def _rate(text: str, flag: str) -> float:
    value = _number(text)
    if value is None or value < 0.0:
        raise OptionError(f"{flag}: {text!r} is no learning rate, a number of at least 0.")
    return value


def length_of(text: str, flag: str) -> Length:
    """Returns the length that a text such as 500 or 1.5epochs stands for.

    Args:
      text: The text.
      flag: The flag with its value, for the message.

    Raises:
      OptionError: If it is none.
    """
    in_epochs = text.endswith(EPOCHS)
    value = _number(text[: -len(EPOCHS)] if in_epochs else text)
    if value is None or value <= 0.0 or not (in_epochs or value.is_integer()):
        raise OptionError(
            f"{flag}: {text!r} is no length; it must be a whole number of steps above 0, or epochs "
            "such as 1.5epochs."
        )
    return Length(value, in_epochs)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
