"""Profiles a few steps for TensorBoard."""

from __future__ import annotations

import os

from absl import logging

from utils.compat import start_profile, stop_profile, tf
from utils.errors import UserError


class ProfileSteps(tf.train.SessionRunHook):
    """Traces the second loop of a run, since the first one prepares the kernels.

    A run of a single loop leaves no trace and logs a warning. The trace shows the host: a device
    that runs loops on its own has its own profiler.
    """

    def __init__(self, folder: str):
        """Makes the hook.

        Args:
          folder: Where the trace goes; created if needed.

        Raises:
          UserError: If the folder cannot be created.
        """
        self._folder = folder
        self._loops = 0
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot create --profile_logdir={folder}: {error.strerror}."
            ) from error

    def after_run(self, unused_context, unused_values):
        """Starts the trace after the first loop, ends it after the second."""
        self._loops += 1
        if self._loops == 1:
            start_profile(self._folder)
        elif self._loops == 2:
            stop_profile(self._folder)
            logging.info("Profile: tensorboard --logdir=%s shows the second loop.", self._folder)

    def end(self, unused_session):
        """Warns if there was nothing to trace; not called after a failure."""
        if self._loops == 1:
            stop_profile(self._folder)
        if self._loops < 2:
            logging.warning(
                "--profile_logdir: training ended in its first loop, which is not traced; pass a "
                "smaller --iterations_per_loop."
            )
