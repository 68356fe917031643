"""SIGTERM and SIGINT while training: the step ends, is saved, and then the command."""

from __future__ import annotations

import contextlib
import signal
import threading

from absl import logging

from utils.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def handled_by(handler):
    """Calls `handler(number, frame)` on both signals, where this is the main thread."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextlib.contextmanager
def noted():
    """Notes a signal instead of ending.

    Yields:
      A `Note`.

    Raises:
      Interrupted: At the end, if there was a signal.
    """
    note = Note()
    with handled_by(note.take):
        yield note
    if note.signal_number:
        raise _interrupted(note.signal_number)


class Note:
    """The signal that came, 0 before."""

    def __init__(self):
        self.signal_number = 0

    def take(self, number, unused_frame):
        """Handles a signal."""
        self.signal_number = number
        logging.warning("%s: saving and ending after this step.", signal.Signals(number).name)


def at_once():
    """Lets a signal end what is done inside, where nothing is lost by that."""

    def end(number, unused_frame):
        raise _interrupted(number)

    return handled_by(end)


def _interrupted(number: int) -> Interrupted:
    return Interrupted(
        number,
        f"Training ended early by {signal.Signals(number).name}; the same command continues it "
        "from the last checkpoint.",
    )
