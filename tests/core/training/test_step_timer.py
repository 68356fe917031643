"""The time that steps wait for input."""

import dataclasses
import time
from unittest import mock

import pytest

from core.training import step_timer
from core.training.step import TrainStep
from utils.compat import tf


def build(device_loop=False):
    """Returns a step whose input takes 20 ms and whose update takes 50 ms."""

    def slowly(value, seconds):
        def wait(given):
            time.sleep(seconds)
            return given

        return tf.py_func(wait, [value], value.dtype)

    timer = step_timer.create(mock.Mock(runs_loop_on_device=lambda: device_loop))
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
