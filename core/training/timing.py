"""Where the time of a run goes: waiting for input, computing, the host.

A time stamp is taken when a step begins, one when its batch has arrived, and one when its update is
done; the graph adds their differences to two variables. This costs three scalar operations per step
(no trace, no extra run), covers every step, and is the same on every TensorFlow. The batch is
requested after the first stamp, and all computation needs the batch, so the first difference is
time spent on input alone. The rest of the wall-clock time is the host's: hooks, logs, checkpoints,
and the session call.

A device that runs whole loops on its own fetches its batches in other ways; nothing is measured
there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time

from absl import logging

from core.training.step import TrainStep
from deployment.backend import Backend
from utils.compat import tf

# Share of the time spent waiting for input that is worth a warning...
_WAIT = 0.1
# ... once it is measured over this many steps.
_STEPS = 50


def create_timer(backend: Backend):
    """Returns the timer for a device, one that measures nothing where it cannot."""
    return NoTimer() if backend.runs_loop_on_device() else StepTimer()


class NoTimer:
    """Measures nothing."""

    def waiting(self):
        """Adds no time stamp."""
        return contextlib.nullcontext()

    def around(self, step: TrainStep, unused_batch: tf.Tensor) -> TrainStep:
        """Returns the step as it is."""
        return step


class StepTimer:
    """Builds the time stamps around a step."""

    @contextlib.contextmanager
    def waiting(self):
        """Makes the operation that fetches a batch, built inside, wait for the first stamp."""
        with tf.device("/cpu:0"):
            self._begin = tf.timestamp(name="step_begins")
        with tf.control_dependencies([self._begin]):
            yield

    def around(self, step: TrainStep, batch: tf.Tensor) -> TrainStep:
        """Returns the step with its measurement, `seconds`.

        Args:
          step: The step.
          batch: What was fetched inside `waiting`.
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


class TimeShares:
    """Splits the time between two measurements. The first one only starts the clock."""

    def __init__(self, step: TrainStep, *, warns: bool = True):
        """Makes the clock.

        Args:
          step: The training step; without `seconds` nothing is measured.
          warns: Whether to warn, once, of long waits for input.
        """
        self._step = step
        self._last = None
        self._watched = {"steps": 0, "input": 0.0, "all": 0.0}
        self._warns = warns

    def measure(self, session, step: int) -> dict:
        """Returns the shares since the last measurement, empty for the first one.

        Args:
          session: The training session.
          step: Steps done so far.

        Returns:
          "input_share", "device_share", "host_share", which sum to 1.
        """
        if not self._step.seconds:
            return {}
        now = {"step": step, "all": time.monotonic(), **session.run(self._step.seconds)}
        before, self._last = self._last, now
        if before is None or step == before["step"]:
            return {}
        passed = {name: float(now[name] - before[name]) for name in now}
        self._watch(passed)
        shares = {name: passed[name] / passed["all"] for name in ("input", "device")}
        host = max(0.0, 1.0 - sum(shares.values()))
        return {
            "input_share": shares["input"],
            "device_share": shares["device"],
            "host_share": host,
        }

    def exclude(self, seconds: float):
        """Keeps time that is not training, such as an evaluation's, out of the shares."""
        if self._last is not None:
            self._last["all"] += seconds

    def _watch(self, passed: dict):
        watched = self._watched
        watched["steps"] += passed["step"]
        watched["input"] += passed["input"]
        watched["all"] += passed["all"]
        if watched["steps"] < _STEPS:
            return
        share = watched["input"] / watched["all"]
        if share > _WAIT and self._warns:
            self._warns = False
            logging.warning(
                "%.0f%% of the time of the last %d steps was spent waiting for input: preparing "
                "images is slower than the network. Give the process more CPU cores, keep the "
                "records on a faster disk, or convert smaller images.",
                100 * share,
                watched["steps"],
            )
        self._watched = dict.fromkeys(watched, 0)


def log_columns(shares: dict) -> list:
    """Returns shares as columns of a log line: "input:3%", "device:95%", "host:2%"."""
    return [f"{name[: -len('_share')]}:{100 * share:.0f}%" for name, share in shares.items()]
