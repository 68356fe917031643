"""Warns when the loss does not fall."""

from __future__ import annotations

import math

import numpy as np
from absl import logging

from core.training.step import TrainStep
from utils.compat import tf

# Number of loss samples averaged at the start and at the end.
_SAMPLES = 20
# Steps after which the loss should have fallen.
_STEPS = 1000
# The loss has fallen if it did by this share of the start and by more than the noise of both means.
_SHARE = 0.02
_DEVIATIONS = 3.0


class WatchLoss(tf.train.SessionRunHook):
    """Warns once if the loss has not fallen after 1000 steps (or half of a shorter training).

    It samples the loss once per loop and compares the mean of the first 20 samples with that of the
    last 20. A continued run, a run that starts from weights with a low loss, and one too short for
    40 samples are not judged.
    """

    def __init__(self, step: TrainStep, *, total_steps: int, chance: float):
        """Makes the hook.

        Args:
          step: The training step.
          total_steps: Step at which training ends.
          chance: The loss of a network that guesses.
        """
        self._step = step
        self._due = min(_STEPS, total_steps // 2)
        self._chance = chance
        self._first = []
        self._last = []
        self._is_done = False

    def after_create_session(self, session, unused_coordinator):
        """Does not judge a continued run."""
        self._is_done = session.run(self._step.global_step) > 0

    def before_run(self, unused_context):
        """Fetches the loss."""
        return None if self._is_done else tf.train.SessionRunArgs(self._step.loss)

    def after_run(self, run_context, run_values):
        """Warns when it is time, if the loss has not fallen."""
        if self._is_done:
            return
        kept = self._first if len(self._first) < _SAMPLES else self._last
        kept.append(float(run_values.results))
        del self._last[:-_SAMPLES]
        step = int(run_context.session.run(self._step.global_step))
        if step < self._due or len(self._last) < _SAMPLES:
            return
        self._is_done = True
        if self._first[0] > self._chance / 2 and not has_fallen(self._first, self._last):
            logging.warning(
                "After %d steps the loss is %.3f; it started at %.3f, so nothing has been learned "
                "(guessing costs %.3f). Likely causes: a learning rate far too low or too high, "
                "labels that do not match the images, a checkpoint of another network or input, or "
                "too much frozen.",
                step,
                np.mean(self._last),
                np.mean(self._first),
                self._chance,
            )


def has_fallen(first, last) -> bool:
    """Whether losses are lower than others, by more than a small share and their noise.

    Args:
      first: Losses at the start.
      last: Losses now.
    """
    noise = math.sqrt(np.var(first) / len(first) + np.var(last) / len(last))
    fall = np.mean(first) - np.mean(last)
    return bool(fall > max(_SHARE * abs(np.mean(first)), _DEVIATIONS * noise))
