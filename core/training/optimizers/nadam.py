"""Nadam: Adam with Nesterov's momentum."""

from __future__ import annotations

import math

from core.training.optimizers import Optimizer
from utils.compat import tf

# Of the momentum in step t: beta1 * (1 - 0.5 * 0.96 ** (0.004 t)).
_DECAY = 0.004 * math.log(0.96)


class Nadam(Optimizer):
    """Adam whose first moment looks one step ahead, with a momentum that rises to beta1.

    Source: Dozat, Incorporating Nesterov momentum into Adam (ICLR 2016 workshop), with the schedule
    of its section 2 as in Keras and PyTorch; epsilon is added to the corrected root.
    """

    NAME = "Nadam"
    SLOTS = ("m", "v")

    def scalars(self):
        """Returns the step, the product of the momenta before it, and the power of beta2."""
        return {
            "nadam_step": 1.0,
            "nadam_momentum_product": 1.0,
            "beta2_power": self._options.adam_beta2,
        }

    def next_scalars(self):
        """Returns the scalars in the next step."""
        step = self.scalar("nadam_step")
        return {
            "nadam_step": step + 1.0,
            "nadam_momentum_product": self.scalar("nadam_momentum_product") * self._momentum(step),
            "beta2_power": self.scalar("beta2_power") * self._options.adam_beta2,
        }

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        beta1, beta2 = self._options.adam_beta1, self._options.adam_beta2
        m = beta1 * self.slot(variable, "m") + (1.0 - beta1) * gradient
        v = beta2 * self.slot(variable, "v") + (1.0 - beta2) * tf.square(gradient)
        step = self.scalar("nadam_step")
        momentum, following = self._momentum(step), self._momentum(step + 1.0)
        product = self.scalar("nadam_momentum_product") * momentum
        ahead = (1.0 - momentum) / (1.0 - product) * gradient
        ahead += following / (1.0 - product * following) * m
        root = tf.sqrt(v / (1.0 - self.scalar("beta2_power")))
        return self.assign(
            variable, rate * ahead / (root + self._options.optimizer_epsilon), m=m, v=v
        )

    def _momentum(self, step):
        return self._options.adam_beta1 * (1.0 - 0.5 * tf.exp(_DECAY * step))


VARIANTS = {"nadam": Nadam}
