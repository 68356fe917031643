"""Ends training when the loss is no number any more."""

from __future__ import annotations

import math

from core.train import TrainStep
from utils.compat import tf
from utils.errors import UserError


class StopOnBadLoss(tf.train.SessionRunHook):
    """Ends training when the loss is not a finite number; nothing is saved after that."""

    def __init__(self, step: TrainStep):
        self._step = step
        self._last_good = None

    def before_run(self, unused_context):
        """Asks for the losses and the learning rate."""
        return tf.train.SessionRunArgs(
            {
                "loss": self._step.loss,
                "reg_loss": self._step.reg_loss,
                "learning_rate": self._step.learning_rate,
            }
        )

    def after_run(self, run_context, run_values):
        """Raises UserError naming the steps and the learning rate if a loss is not finite."""
        step = run_context.session.run(self._step.global_step)
        values = run_values.results
        if math.isfinite(values["loss"]) and math.isfinite(values["reg_loss"]):
            self._last_good = step
            return
        since = 1 if self._last_good is None else self._last_good + 1
        steps = f"step {step}" if since >= step else f"a step from {since} to {step}"
        raise UserError(
            f"the loss is {values['loss']:g} (regularisation {values['reg_loss']:g}) since "
            f"{steps}, at learning rate {values['learning_rate']:g}; the last checkpoint is "
            "unharmed. Try a lower --base_learning_rate, or check the data."
        )
