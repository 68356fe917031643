"""The time of steps, its split, and the warning about waits for input."""

import dataclasses
import time
from unittest import mock

import pytest
from absl import logging

from core.training import timing
from core.training.step import TrainStep
from utils.compat import tf


def build(device_loop=False):
    """Returns a step whose input takes 20 ms and whose update takes 50 ms."""

    def slowly(value, seconds):
        def wait(given):
            time.sleep(seconds)
            return given

        return tf.py_func(wait, [value], value.dtype)

    timer = timing.create_timer(mock.Mock(runs_loop_on_device=lambda: device_loop))
    with timer.waiting():
        batch = slowly(tf.constant(1.0), 0.02)
    fields = dict.fromkeys(field.name for field in dataclasses.fields(TrainStep))
    fields.update(train_op=slowly(batch, 0.05).op, seconds={})
    return timer.around(TrainStep(**fields), batch)


def test_waits_and_computation_are_summed_over_all_steps():
    step = build()
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        for _ in range(3):
            session.run(step.train_op)
        seconds = session.run(step.seconds)
    assert seconds["input"] == pytest.approx(0.06, abs=0.03)
    assert seconds["device"] == pytest.approx(0.15, abs=0.06)


def test_nothing_is_measured_where_the_device_runs_the_loop():
    assert build(device_loop=True).seconds == {}


class Clock:
    """A run whose steps take one second, with a given wait for input and time on the device."""

    def __init__(self, monkeypatch, wait, device):
        self.now = 0.0
        self.step = 0
        self._wait = wait
        self._device = device
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.shares = timing.TimeShares(mock.Mock(seconds={"input": 0, "device": 0}))

    def run(self, unused_fetches):
        return {"input": self.step * self._wait, "device": self.step * self._device}

    def train(self, steps):
        self.step += steps
        self.now += steps
        return self.shares.measure(self, self.step)


def test_time_that_neither_waits_nor_computes_is_the_hosts(monkeypatch):
    clock = Clock(monkeypatch, wait=0.05, device=0.75)
    assert clock.train(1) == {}
    shares = clock.train(10)
    expected = {"input_share": 0.05, "device_share": 0.75, "host_share": 0.2}
    assert shares == pytest.approx(expected)
    assert timing.log_columns(shares) == ["input:5%", "device:75%", "host:20%"]


def test_an_evaluation_is_excluded(monkeypatch):
    clock = Clock(monkeypatch, wait=0.1, device=0.9)
    clock.train(1)
    clock.now += 100.0
    clock.shares.exclude(100.0)
    assert clock.train(10)["device_share"] == pytest.approx(0.9)


@pytest.mark.parametrize(("wait", "warns"), [(0.2, 1), (0.05, 0)])
def test_long_waits_are_warned_of_once(monkeypatch, wait, warns):
    clock = Clock(monkeypatch, wait=wait, device=0.7)
    with mock.patch.object(logging, "warning") as warning:
        for _ in range(20):
            clock.train(10)
    assert warning.call_count == warns


def test_nothing_is_measured_without_time_stamps():
    assert timing.TimeShares(mock.Mock(seconds={})).measure(None, 10) == {}
