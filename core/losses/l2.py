"""Squared error of probabilities."""

from __future__ import annotations

from core.losses import Context, Loss, pixelwise
from core.task import Targets
from utils.compat import tf


def build(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean of (y - p)^2 over the targets that count, a float32 scalar.

    Of classes that exclude each other it is the sum over the classes: the Brier score.

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather
    Review 78 (1950), equation 2.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
    """
    probabilities = targets.task.activate(pixelwise.resized(logits, targets, context))
    losses = tf.square(targets.values() - probabilities)
    if targets.task.is_exclusive:
        losses = tf.reduce_sum(losses, axis=3)
    return pixelwise.mean(losses, targets, context)


VARIANTS = {"l2": Loss(build=build, mines=True)}
