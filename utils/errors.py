"""The errors that a user sees as one sentence instead of a traceback."""

from __future__ import annotations

import signal


class UserError(Exception):
    """Something outside the code is wrong; the message says what, and what to do about it."""


class OptionError(UserError, ValueError):
    """An option has a value that cannot be used."""


class Interrupted(Exception):
    """The process was asked to end by SIGTERM or SIGINT.

    Attributes:
      signal_number: The signal.
    """

    def __init__(self, signal_number: int, message: str = ""):
        super().__init__(message or f"Ended by {signal.Signals(signal_number).name}.")
        self.signal_number = signal_number


def reason_of(error: Exception) -> str:
    """Returns the line of an error that says what is wrong.

    It is the first one, but for the errors of a session of TensorFlow 2.21: these begin with where
    it happened, and the reason stands behind the name of the node.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    nodes = [number for number, line in enumerate(lines) if line.startswith("Node: ")]
    behind = lines[nodes[0] + 1 :] if nodes else lines
    return behind[0] if behind else type(error).__name__
