"""Early stops: after a signal, and at the same step in all ranks."""

import os
import signal
from unittest import mock

import pytest

from core.training import stopping
from utils.errors import Interrupted


def interrupted_in(context, number):
    """Returns what is seen of a signal inside a context; it must end with Interrupted."""
    seen = []

    def use():
        with context as request:
            stop = stopping.create(mock.Mock(votes=None), request)
            seen.append(stop.is_due if request else None)
            os.kill(os.getpid(), number)
            seen.append(stop.is_due if request else "not ended")

    with pytest.raises(Interrupted) as raised:
        use()
    assert raised.value.signal_number == number
    return seen


def test_a_signal_is_deferred_to_the_end():
    assert interrupted_in(stopping.deferred(), signal.SIGTERM) == [False, True]


def test_a_signal_ends_at_once_what_may_be_ended():
    assert interrupted_in(stopping.immediate(), signal.SIGINT) == [None]


class _Ranks:
    """The sessions of some ranks; a step shows all of them the mean of the votes before it."""

    def __init__(self, ranks):
        self.votes = [0.0] * ranks
        self.requests = [stopping.StopRequest() for _ in range(ranks)]
        step = mock.Mock(votes=stopping.Votes(vote="vote", mean="mean"))
        self.stops = [stopping.create(step, request) for request in self.requests]

    def step(self):
        """Makes a step in every rank: all vote before any sees the mean."""
        means = []

        def run(rank, fetch):
            if fetch == "vote":
                self.votes[rank] = 1.0
                return None
            means.append(fetch)
            return None, sum(self.votes)

        for rank in range(len(self.stops)):
            request = self.requests[rank]
            if request.signal_number and not self.votes[rank]:
                run(rank, "vote")
        for rank, stop in enumerate(self.stops):
            stop.run(lambda fetch, rank=rank: run(rank, fetch), "step")
        assert means == [["step", "mean"]] * len(self.stops)
        return [stop.is_due for stop in self.stops]


def test_all_ranks_stop_after_the_step_in_which_one_votes():
    ranks = _Ranks(3)
    assert ranks.step() == [False] * 3
    ranks.requests[1].receive(signal.SIGTERM, None)
    assert ranks.step() == [True] * 3
    assert all(request.signal_number == signal.SIGTERM for request in ranks.requests)


def test_the_end_of_a_terminal_stops_a_training_unless_it_is_ignored():
    assert interrupted_in(stopping.deferred(), signal.SIGHUP) == [False, True]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.deferred() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert request.signal_number == 0
    finally:
        signal.signal(signal.SIGHUP, before)
