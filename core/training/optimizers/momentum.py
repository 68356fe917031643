"""Gradient descent, without and with momentum."""

from __future__ import annotations

from core.training.optimizers import Optimizer
from utils.compat import tf


class GradientDescent(Optimizer):
    """w -= rate * g."""

    NAME = "GradientDescent"

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        return tf.raw_ops.ApplyGradientDescent(var=variable, alpha=rate, delta=gradient).op


class Momentum(Optimizer):
    """v = momentum * v + g; w -= rate * v, with Nesterov's momentum rate * (g + momentum * v).

    The rate is outside of the velocity, as in TensorFlow 1 and PyTorch. In Keras it is inside,
    which is the same while the rate does not change.
    """

    NAME = "Momentum"
    SLOTS = ("momentum",)

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        momentum = self._settings.momentum
        return tf.raw_ops.ApplyMomentum(
            var=variable,
            accum=self.get_slot(variable, "momentum"),
            lr=rate,
            grad=gradient,
            momentum=self._options.momentum if momentum is None else momentum,
            use_nesterov=self._options.nesterov,
        ).op


VARIANTS = {"sgd": GradientDescent, "momentum": Momentum}
