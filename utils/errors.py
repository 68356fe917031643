"""Errors that are shown as one sentence instead of a traceback."""

from __future__ import annotations

import signal


class UserError(Exception):
    """Something outside the code is wrong; the message says what, and how to fix it."""


class OptionError(UserError, ValueError):
    """An option has a value that cannot be used."""


class BadImageError(Exception):
    """An image cannot be used; the message says why, and begins with its name."""


class Interrupted(Exception):
    """The process received SIGTERM or SIGINT.

    Attributes:
      signal_number: The signal.
    """

    def __init__(self, signal_number: int, message: str = ""):
        super().__init__(message or f"Ended by {signal.Signals(signal_number).name}.")
        self.signal_number = signal_number


def reason_of(error: Exception) -> str:
    """Returns the line of an error message that contains the reason.

    It is the first line, except for session errors of TensorFlow 2.21: these begin with the
    location, and the reason follows the name of the node.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    nodes = [number for number, line in enumerate(lines) if line.startswith("Node: ")]
    reasons = lines[nodes[0] + 1 :] if nodes else lines
    return reasons[0] if reasons else type(error).__name__
