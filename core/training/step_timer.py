"""How long steps wait for their input, summed up by the graph itself.

A time stamp is taken when a step begins, one when its batch has arrived, one when its update is
done; their differences are added to two variables. That costs three operations on scalars a step
(no trace, no extra run), counts every step, and is the same on every TensorFlow. The batch is asked
for behind the first stamp, and whatever computes needs the batch, so the first difference is time
in which nothing but input was made. What is left of the clock's time is the host's: hooks, logs,
checkpoints, and the call of the session.

A device that runs whole loops by itself fetches its batches in other ways; nothing is measured
there.
"""

from __future__ import annotations

import contextlib
import dataclasses

from core.training.step import TrainStep
from deployment.backend import Backend
from utils.compat import tf


def create(backend: Backend):
    """Returns the timer for a device, one that measures nothing where it cannot."""
    return NoTimer() if backend.runs_loop_on_device() else StepTimer()


class NoTimer:
    """Measures nothing."""

    def waiting(self):
        """Holds nothing back."""
        return contextlib.nullcontext()

    def around(self, step: TrainStep, unused_batch: tf.Tensor) -> TrainStep:
        """Returns the step as it is."""
        return step


class StepTimer:
    """Builds the time stamps around a step."""

    @contextlib.contextmanager
    def waiting(self):
        """Holds the operation that gets a batch, built inside, behind the step's beginning."""
        with tf.device("/cpu:0"):
            self._begin = tf.timestamp(name="step_begins")
        with tf.control_dependencies([self._begin]):
            yield

    def around(self, step: TrainStep, batch: tf.Tensor) -> TrainStep:
        """Returns the step together with its measurement, `seconds`.

        Args:
          step: The step.
          batch: What was got inside `waiting`.
        """
        with tf.device("/cpu:0"):
            with tf.control_dependencies([batch]):
                arrived = tf.timestamp(name="batch_arrived")
            with tf.control_dependencies([step.train_op]):
                done = tf.timestamp(name="step_done")
            seconds = {"input": arrived - self._begin, "device": done - arrived}
            totals = {name: _total(name) for name in seconds}
            sums = [tf.assign_add(totals[name], seconds[name]) for name in seconds]
        return dataclasses.replace(step, train_op=tf.group(step.train_op, *sums), seconds=totals)


def _total(name: str) -> tf.Variable:
    return tf.Variable(
        0.0,
        dtype=tf.float64,
        name=f"seconds_of_{name}",
        trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
