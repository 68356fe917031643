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
