"""Adamax: Adam with the largest recent gradient instead of the root of the second moment."""

from __future__ import annotations

from core.training.optimizers import Optimizer
from utils.compat import tf


class Adamax(Optimizer):
    """w -= rate / (1 - beta1^t) * m / (u + epsilon), u = max(beta2 * u, |g|).

    Source: arXiv 1412.6980, algorithm 2; epsilon as in Keras, so that nothing is divided by zero.
    """

    NAME = "Adamax"
    SLOTS = ("m", "u")

    def scalars(self):
        """Returns the power of beta1."""
        return {"beta1_power": self._options.adam_beta1}

    def next_scalars(self):
        """Returns the power in the next step."""
        return {"beta1_power": self.scalar("beta1_power") * self._options.adam_beta1}

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        beta1, beta2 = self._options.adam_beta1, self._options.adam_beta2
        m = beta1 * self.slot(variable, "m") + (1.0 - beta1) * gradient
        u = tf.maximum(beta2 * self.slot(variable, "u"), tf.abs(gradient))
        corrected = rate / (1.0 - self.scalar("beta1_power"))
        return self.assign(
            variable, corrected * m / (u + self._options.optimizer_epsilon), m=m, u=u
        )


VARIANTS = {"adamax": Adamax}
