"""Saves checkpoints while training runs."""

from __future__ import annotations

import os
import time

from absl import logging

from core import checkpoint
from core.options import TrainOptions
from core.train import TrainStep
from utils.compat import tf
from utils.errors import UserError


class SaveCheckpoints(tf.train.SessionRunHook):
    """Saves `model.ckpt-STEP` every so many steps or seconds, and when training ends."""

    def __init__(self, folder: str, step: TrainStep, options: TrainOptions):
        self._folder = folder
        self._step = step
        self._options = options
        self._last_step = None
        self._last_time = time.time()

    def begin(self):
        """Makes a saver of all variables; called before the graph is finalized."""
        self._saver = tf.train.Saver(max_to_keep=self._options.max_to_save)
        self._saver.recover_last_checkpoints(checkpoint.find_all(self._folder))

    def after_create_session(self, session, unused_coordinator):
        """Notes the step that training starts from."""
        self._last_step = session.run(self._step.global_step)

    def after_run(self, run_context, unused_values):
        """Saves when an interval has passed."""
        step = run_context.session.run(self._step.global_step)
        every = self._options.save_checkpoints_steps
        passed = step // every > self._last_step // every
        if passed or time.time() - self._last_time >= self._options.save_interval_secs:
            self._save(run_context.session, step)

    def end(self, session):
        """Saves the last step; not called after a failure."""
        step = session.run(self._step.global_step)
        if step != self._last_step or not checkpoint.find_all(self._folder):
            self._save(session, step)

    def _save(self, session, step):
        prefix = os.path.join(self._folder, checkpoint.PREFIX)
        try:
            self._saver.save(session, prefix, global_step=step, write_meta_graph=False)
        except tf.errors.OpError as error:
            reason = error.message.strip().split("\n")[0]
            raise UserError(
                f"cannot write checkpoint {prefix}-{step} ({reason}); earlier checkpoints are "
                "unharmed. Free some space or pass another --train_logdir."
            ) from error
        self._last_step = step
        self._last_time = time.time()
        logging.info("Saved %s-%d.", prefix, step)
