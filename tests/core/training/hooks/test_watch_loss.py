"""The warning when the loss stays where it started."""

import math
from unittest import mock

import numpy as np
import pytest
from absl import logging

from core.training.hooks import watch_loss
from utils.compat import tf

CHANCE = math.log(10)


def warnings(losses, start=0, chance=CHANCE):
    """Returns the warnings of a run that sees these losses, one a step."""
    global_step = tf.Variable(start, trainable=False)
    values = tf.constant(np.float32(losses))
    step = mock.Mock(global_step=global_step, loss=values[global_step - start])
    hook = watch_loss.WatchLoss(step, total_steps=len(losses), chance=chance)
    # The value that is fetched is the one from before the step.
    with tf.control_dependencies([step.loss]):
        train_op = tf.assign_add(global_step, 1)
    with mock.patch.object(logging, "warning") as warning, tf.train.SingularMonitoredSession(
        hooks=[hook]
    ) as session:
        for _ in losses:
            session.run(train_op)
    return [call[0][0] % call[0][1:] for call in warning.call_args_list]


def noisy(values):
    return np.array(values) + 0.1 * np.random.RandomState(0).randn(len(values))


def test_a_loss_that_does_not_fall_is_warned_of_once():
    (text,) = warnings(noisy(np.full(100, 2.3)))
    assert "50 steps" in text
    assert "2.303" in text


@pytest.mark.parametrize(
    "losses",
    [noisy(np.linspace(2.3, 1.8, 100)), noisy(np.full(100, 0.5)), noisy(np.full(30, 2.3))],
    ids=["it falls", "it started low", "too short to judge"],
)
def test_other_losses_are_not_warned_of(losses):
    assert warnings(losses) == []


def test_a_run_that_is_continued_is_not_judged():
    assert warnings(noisy(np.full(100, 2.3)), start=5) == []
