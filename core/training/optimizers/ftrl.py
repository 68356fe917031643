"""FTRL-Proximal: follow the regularized leader."""

from __future__ import annotations

from core.training.optimizers import Optimizer
from utils.compat import tf


class Ftrl(Optimizer):
    """Weights that are a function of summed gradients and summed squares, with L1 and L2.

    z += g - (sqrt(n + g^2) - sqrt(n)) / rate * w, n += g^2; w = 0 where |z| <= L1, else
    (sign(z) * L1 - z) / (sqrt(n) / rate + 2 * L2). n starts at --initial_accumulator. Weights do
    not stay near the values that they start with: it is meant for models without pretraining.

    Source: McMahan et al., Ad click prediction (KDD 2013), algorithm 1, in TensorFlow's form.
    """

    NAME = "Ftrl"

    def slots(self):
        """Returns the sums."""
        return {"accum": self._options.initial_accumulator, "linear": 0.0}

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        l1, l2 = self._options.ftrl_l1, self._options.ftrl_l2
        weight, accum = variable.read_value(), self.slot(variable, "accum")
        summed = accum + tf.square(gradient)
        change = (tf.sqrt(summed) - tf.sqrt(accum)) / rate
        linear = self.slot(variable, "linear") + gradient - change * weight
        shrunk = tf.sign(linear) * tf.maximum(tf.abs(linear) - l1, 0.0)
        target = -shrunk / (tf.sqrt(summed) / rate + 2.0 * l2)
        return self.assign(variable, weight - target, accum=summed, linear=linear)


VARIANTS = {"ftrl": Ftrl}
