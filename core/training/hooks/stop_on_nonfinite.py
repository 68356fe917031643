"""Ends training when the loss or the gradients are no numbers any more."""

from __future__ import annotations

from core.training.step import TrainStep
from utils.compat import tf
from utils.errors import UserError


class NonFiniteError(UserError):
    """The loss or the gradients of a step are not finite.

    Attributes:
      step: The global step that it would have led to.
      learning_rate: Its learning rate.
    """

    def __init__(self, message: str, *, step: int, learning_rate: float):
        super().__init__(message)
        self.step = step
        self.learning_rate = learning_rate


class StopOnBadLoss(tf.train.SessionRunHook):
    """Ends training at the loop in which a step was not finite; nothing is saved after that.

    The graph notes the step itself (`core/training/update.py`), so that it is known also within a
    loop.
    """

    def __init__(self, step: TrainStep, explain=None):
        """Makes the hook.

        Args:
          step: The training step.
          explain: Function (session, number of the step) -> a text on what was the cause, called
            with the weights that the step failed with; None where they have changed since.
        """
        self._step = step
        self._explain = explain

    def before_run(self, unused_context):
        """Asks for the first step that was not finite."""
        return tf.train.SessionRunArgs(self._step.bad_step)

    def after_run(self, run_context, run_values):
        """Raises NonFiniteError that names the step and what it had."""
        number, values = run_values.results
        if not number:
            return
        cause = self._explain(run_context.session, int(number)) if self._explain else ""
        raise NonFiniteError(
            f"step {number} is not finite: loss {values['loss']:g}, regularisation "
            f"{values['reg_loss']:g}, gradient norm {values['gradient_norm']:g} at learning rate "
            f"{values['learning_rate']:g}. {cause}Earlier checkpoints are unharmed. Try a lower "
            "--base_learning_rate or --clip_gradient_norm, or check the data.",
            step=int(number),
            learning_rate=float(values["learning_rate"]),
        )
