"""Ends training when the loss or the gradients are not finite."""

from __future__ import annotations

from core.training.nonfinite import NonFiniteError
from core.training.step import TrainStep
from utils.compat import tf


class StopOnNonFinite(tf.train.SessionRunHook):
    """Ends training at the loop in which a step was not finite; nothing is saved after that.

    The graph records the step itself (`core/training/nonfinite.py`), so it is known even when it
    was in the middle of a loop.
    """

    def __init__(self, step: TrainStep, explain=None):
        """Makes the hook.

        Args:
          step: The training step.
          explain: Function (session, number of the step) -> text about the cause, called with the
            weights that the step failed with; None if they have changed since.
        """
        self._step = step
        self._explain = explain

    def before_run(self, unused_context):
        """Fetches the first step that was not finite."""
        return tf.train.SessionRunArgs(self._step.bad_step)

    def after_run(self, run_context, run_values):
        """Raises NonFiniteError with the number of the step and its values."""
        number, values = run_values.results
        if not number:
            return
        cause = self._explain(run_context.session, int(number)) if self._explain else ""
        raise NonFiniteError(
            f"step {number} is not finite: loss {values['loss']:g}, regularization loss "
            f"{values['reg_loss']:g}, gradient norm {values['gradient_norm']:g} at learning rate "
            f"{values['learning_rate']:g}. {cause}Earlier checkpoints are intact. Lower "
            "--base_learning_rate, pass --clip_gradient_norm, or check the data.",
            step=int(number),
            learning_rate=float(values["learning_rate"]),
        )
