"""When training ends early: behind the same step in all ranks, whoever got the signal.

A rank that stopped by itself would leave the others waiting in the next step. So a rank that was
asked to end votes for it; votes are summed up with the loss of each step, and all end behind the
step in which they see one.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from core.training.interruption import Note
from utils.compat import tf


class Votes(NamedTuple):
    """The vote of this rank and the mean of all, as parts of a step.

    Attributes:
      vote: Operation by which this rank votes.
      mean: float32 scalar, above 0 where a rank has voted.
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
        0.0, name="vote_to_end", trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES]
    )
    (means,) = average([tf.stack([value, own.read_value()])])
    return means[0], Votes(tf.assign(own, 1.0).op, means[1])


def create(step, note: Note):
    """Returns when a training ends early.

    Args:
      step: The `TrainStep`; with votes where the host runs the loop of several ranks.
      note: Of a signal to this process.
    """
    return End(note) if step.votes is None else AgreedEnd(note, step.votes)


class End:
    """Of one process: when a signal has come."""

    def __init__(self, note: Note):
        self._note = note

    @property
    def has_come(self) -> bool:
        """Whether no further step is to be made."""
        return bool(self._note.signal_number)

    def run(self, run, fetches, unused_run_without_hooks=None):
        """Makes a step."""
        run(fetches)


class AgreedEnd:
    """Of several ranks: when one has voted for it."""

    def __init__(self, note: Note, votes: Votes):
        self._note = note
        self._votes = votes
        self._has_voted = False
        self.has_come = False

    def run(self, run, fetches, run_without_hooks=None):
        """Makes a step, with the vote of this rank if it got a signal."""
        if self._note.signal_number and not self._has_voted:
            (run_without_hooks or run)(self._votes.vote)
            self._has_voted = True
        _, mean = run([fetches, self._votes.mean])
        if mean > 0:
            self.has_come = True
            if not self._note.signal_number:
                self._note.take(signal.SIGTERM, None)
