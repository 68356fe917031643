"""A warning when the loss does not leave the place where it started."""

from __future__ import annotations

import math

import numpy as np
from absl import logging

from core.training.step import TrainStep
from utils.compat import tf

# Looks at the loss that are compared, at the start and now.
_LOOKS = 20
# Steps after which the loss should have moved.
_STEPS = 1000
# What counts as having moved: this share of the start, and beyond the noise of both means.
_SHARE = 0.02
_DEVIATIONS = 3.0


class WatchLoss(tf.train.SessionRunHook):
    """Warns once if the loss is where it started after 1000 steps (or half a shorter training).

    It looks once a loop, and compares the mean of the first 20 looks with that of the last 20. A
    run that is continued, one that started from weights with a low loss, and one that is too short
    for 40 looks are not judged.
    """

    def __init__(self, step: TrainStep, *, total_steps: int, num_classes: int):
        """Makes the hook.

        Args:
          step: The training step.
          total_steps: Step at which training ends.
          num_classes: Classes; guessing among them costs their logarithm.
        """
        self._step = step
        self._due = min(_STEPS, total_steps // 2)
        self._chance = math.log(num_classes)
        self._first = []
        self._last = []
        self._is_done = False

    def after_create_session(self, session, unused_coordinator):
        """Leaves a run alone whose start it does not see."""
        self._is_done = session.run(self._step.global_step) > 0

    def before_run(self, unused_context):
        """Asks for the loss."""
        return None if self._is_done else tf.train.SessionRunArgs(self._step.loss)

    def after_run(self, run_context, run_values):
        """Warns when it is time, if the loss has not moved."""
        if self._is_done:
            return
        kept = self._first if len(self._first) < _LOOKS else self._last
        kept.append(float(run_values.results))
        del self._last[:-_LOOKS]
        step = int(run_context.session.run(self._step.global_step))
        if step < self._due or len(self._last) < _LOOKS:
            return
        self._is_done = True
        if self._first[0] > self._chance / 2 and not has_moved(self._first, self._last):
            logging.warning(
                "After %d steps the loss is %.3f, and it started at %.3f: nothing has been learned "
                "(guessing among the classes costs %.3f). Likely causes: a learning rate far too "
                "small or too large, labels that do not belong to the images, a checkpoint for "
                "another network or input, or too much frozen.",
                step,
                np.mean(self._last),
                np.mean(self._first),
                self._chance,
            )


def has_moved(first, last) -> bool:
    """Whether losses are lower than others, beyond a small share and beyond their noise.

    Args:
      first: Losses at the start.
      last: Losses now.
    """
    noise = math.sqrt(np.var(first) / len(first) + np.var(last) / len(last))
    fall = np.mean(first) - np.mean(last)
    return bool(fall > max(_SHARE * abs(np.mean(first)), _DEVIATIONS * noise))
