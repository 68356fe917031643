"""Saves checkpoints during training."""

from __future__ import annotations

import time

from absl import logging

from core.checkpoints import files, restore
from core.training import intervals
from core.training.step import TrainStep
from options.training import TrainOptions
from utils.compat import tf
from utils.errors import UserError


class SaveCheckpoints(tf.train.SessionRunHook):
    """Saves `model.ckpt-STEP` at its intervals, and when training ends.

    A checkpoint is saved every `save_checkpoints_steps` or `save_interval_secs`, as a milestone
    every `milestone_steps`, and before each evaluation. It must come after the hooks that record a
    step and before the one that evaluates.
    """

    def __init__(self, folder: str, step: TrainStep, options: TrainOptions, before=None):
        """Makes the hook.

        Args:
          folder: The run's folder.
          step: The training step.
          options: The training.
          before: Function of the step that writes what a checkpoint needs beside it; called first.
        """
        self._folder = folder
        self._step = step
        self._options = options
        self._before = before
        self._last_step = None
        self._last_time = time.monotonic()

    def begin(self):
        """Creates a saver of all variables; called before the graph is finalized."""
        self._saver = tf.train.Saver(max_to_keep=None)

    def after_create_session(self, session, unused_coordinator):
        """Records the step that training starts from."""
        self._last_step = session.run(self._step.global_step)

    def after_run(self, run_context, unused_values):
        """Saves if an interval has passed."""
        step = run_context.session.run(self._step.global_step)
        waited = time.monotonic() - self._last_time
        passed = any(
            intervals.passed(self._options, name, self._last_step, step)
            for name in ("save_checkpoints_steps", "milestone_steps", "eval_interval_steps")
        )
        ends = step >= self._options.training_number_of_steps
        if passed or ends or waited >= self._options.save_interval_secs:
            self._save(run_context.session, step)

    def end(self, session):
        """Saves the step at which a signal stopped training; not called after a failure."""
        step = session.run(self._step.global_step)
        if step != self._last_step or not restore.find_all(self._folder):
            self._save(session, step)

    def _save(self, session, step):
        if self._before is not None:
            self._before(int(step))
        try:
            if intervals.passed(self._options, "milestone_steps", self._last_step, step):
                files.add_milestone(self._folder, int(step))
            prefix = files.write(self._saver, session, self._folder, int(step))
            files.keep_newest(self._folder, self._options.max_to_save)
        except OSError as error:
            raise UserError(
                f"cannot write to --train_logdir={self._folder} ({error.strerror}); its "
                "checkpoints are intact. Free some space and run the same command again."
            ) from error
        self._last_step = step
        self._last_time = time.monotonic()
        logging.info("Saved %s.", prefix)
