"""Stops training early after SIGTERM, SIGINT or SIGHUP, all ranks at the same step.

In one process the current step is finished and saved before the command ends. A rank that stopped
on its own would leave the others waiting in the next step. So a rank that received a signal votes
to stop; votes are summed with the loss of each step, and all ranks stop after the step in which
they see one.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import NamedTuple

from absl import logging

from utils.compat import tf
from utils.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def _handled_by(handler):
    """Calls `handler(number, frame)` on the signals, if this is the main thread.

    SIGHUP, the end of a terminal, stays ignored where it is: that is what nohup is for.
    """
    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {
            number: signal.signal(number, handler)
            for number in _SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


class StopRequest:
    """The signal that asked this process to stop, 0 before."""

    def __init__(self):
        self.signal_number = 0

    def receive(self, number, unused_frame):
        """Handles a signal."""
        self.signal_number = number
        logging.warning("%s: stopping after this step.", signal.Signals(number).name)


@contextlib.contextmanager
def deferred():
    """Records a signal instead of ending the process.

    Yields:
      A `StopRequest`.

    Raises:
      Interrupted: At the end, if there was a signal.
    """
    request = StopRequest()
    with _handled_by(request.receive):
        yield request
    if request.signal_number:
        raise _interrupted(request.signal_number)


def immediate():
    """Lets a signal end what runs inside, where nothing is lost."""

    def end(number, unused_frame):
        raise _interrupted(number)

    return _handled_by(end)


def _interrupted(number: int) -> Interrupted:
    return Interrupted(
        number,
        f"Training stopped early by {signal.Signals(number).name}; the same command continues it "
        "from the last checkpoint.",
    )


class Votes(NamedTuple):
    """The vote of this rank and the mean of all, as parts of a step.

    Attributes:
      vote: Operation by which this rank votes to stop.
      mean: float32 scalar, above 0 if any rank has voted.
    """

    vote: tf.Operation
    mean: tf.Tensor


def with_votes(value: tf.Tensor, average) -> tuple:
    """Returns the mean of a scalar over the ranks, and the votes, which travel with it.

    Args:
      value: float32 scalar.
      average: `Backend.average`.
    """
    own = tf.Variable(
        0.0, name="vote_to_stop", trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES]
    )
    (means,) = average([tf.stack([value, own.read_value()])])
    return means[0], Votes(tf.assign(own, 1.0).op, means[1])


def create(step, request: StopRequest):
    """Returns what decides when a training stops early.

    Args:
      step: The `TrainStep`; it has votes where the host runs the loop of several ranks.
      request: The stop request of this process.
    """
    return OwnStop(request) if step.votes is None else AgreedStop(request, step.votes)


class OwnStop:
    """Of a single process: stops when it received a signal."""

    def __init__(self, request: StopRequest):
        self._request = request

    @property
    def is_due(self) -> bool:
        """Whether no further step should be made."""
        return bool(self._request.signal_number)

    def run(self, run, fetches, unused_run_without_hooks=None):
        """Makes a step."""
        run(fetches)


class AgreedStop:
    """Of several ranks: stops when one has voted for it."""

    def __init__(self, request: StopRequest, votes: Votes):
        self._request = request
        self._votes = votes
        self._has_voted = False
        self.is_due = False

    def run(self, run, fetches, run_without_hooks=None):
        """Makes a step, with the vote of this rank if it received a signal."""
        if self._request.signal_number and not self._has_voted:
            (run_without_hooks or run)(self._votes.vote)
            self._has_voted = True
        _, mean = run([fetches, self._votes.mean])
        if mean > 0:
            self.is_due = True
            if not self._request.signal_number:
                self._request.receive(signal.SIGTERM, None)
