"""Adagrad and Adadelta: rates from sums, or averages, of squared gradients."""

from __future__ import annotations

from core.training.optimizers import Optimizer
from utils.compat import tf


class Adagrad(Optimizer):
    """w -= rate * g / (sqrt(a) + epsilon), a the sum of g^2, which starts at --initial_accumulator.

    Source: Duchi et al., Adaptive subgradient methods (JMLR 12, 2011); epsilon as in Keras.
    """

    NAME = "Adagrad"

    def slots(self):
        """Returns the accumulator."""
        return {"accumulator": self._options.initial_accumulator}

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        accumulator = self.slot(variable, "accumulator") + tf.square(gradient)
        root = tf.sqrt(accumulator) + self._options.optimizer_epsilon
        return self.assign(variable, rate * gradient / root, accumulator=accumulator)


class Adadelta(Optimizer):
    """w -= rate * d, d = sqrt(u + epsilon) / sqrt(a + epsilon) * g; u and a average d^2 and g^2.

    Source: arXiv 1212.5701, algorithm 1, whose rate is 1.
    """

    NAME = "Adadelta"
    SLOTS = ("accum", "accum_update")

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        decay, epsilon = self._options.adadelta_decay, self._options.optimizer_epsilon
        updates = self.slot(variable, "accum_update")
        accum = decay * self.slot(variable, "accum") + (1.0 - decay) * tf.square(gradient)
        direction = tf.sqrt(updates + epsilon) / tf.sqrt(accum + epsilon) * gradient
        return self.assign(
            variable,
            rate * direction,
            accum=accum,
            accum_update=decay * updates + (1.0 - decay) * tf.square(direction),
        )


VARIANTS = {"adagrad": Adagrad, "adadelta": Adadelta}
