"""The split of a run's time, and the warning about input waits."""

import time
from unittest import mock

import pytest
from absl import logging

from core.training import time_shares


class Clock:
    """A run whose steps take one second, with a given wait for input and time on the device."""

    def __init__(self, monkeypatch, wait, device):
        self.now = 0.0
        self.step = 0
        self._wait = wait
        self._device = device
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.shares = time_shares.TimeShares(mock.Mock(seconds={"input": 0, "device": 0}))

    def run(self, unused_fetches):
        return {"input": self.step * self._wait, "device": self.step * self._device}

    def train(self, steps):
        self.step += steps
        self.now += steps
        return self.shares.look(self, self.step)


def test_what_neither_waits_nor_computes_is_the_hosts(monkeypatch):
    clock = Clock(monkeypatch, wait=0.05, device=0.75)
    assert clock.train(1) == {}
    shares = clock.train(10)
    expected = {"input_share": 0.05, "device_share": 0.75, "host_share": 0.2}
    assert shares == pytest.approx(expected)
    assert time_shares.columns(shares) == ["input:5%", "device:75%", "host:20%"]


def test_an_evaluation_is_left_out(monkeypatch):
    clock = Clock(monkeypatch, wait=0.1, device=0.9)
    clock.train(1)
    clock.now += 100.0
    clock.shares.leave_out(100.0)
    assert clock.train(10)["device_share"] == pytest.approx(0.9)


@pytest.mark.parametrize(("wait", "warns"), [(0.2, 1), (0.05, 0)])
def test_long_waits_are_warned_of_once(monkeypatch, wait, warns):
    clock = Clock(monkeypatch, wait=wait, device=0.7)
    with mock.patch.object(logging, "warning") as warning:
        for _ in range(20):
            clock.train(10)
    assert warning.call_count == warns


def test_nothing_is_measured_without_time_stamps():
    assert time_shares.TimeShares(mock.Mock(seconds={})).look(None, 10) == {}
