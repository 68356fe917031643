"""RMSprop, also centred and with momentum."""

from __future__ import annotations

from core.training.optimizers import Optimizer
from utils.compat import tf


class RMSProp(Optimizer):
    """w -= rate * v with v = momentum * v + g / (sqrt(s) + epsilon), s an average of g^2.

    Centred, s is that average minus the square of the average of g. The averages start at zero, as
    in Keras and PyTorch. Epsilon is outside of the root, as in PyTorch and in Keras without
    momentum; --epsilon_placement=inside is TensorFlow 1's and that of Keras with momentum. The rate
    is outside of v, as in PyTorch, which is the same as inside while it does not change.

    Sources: Hinton's lecture 6e of Neural Networks for Machine Learning; centred: arXiv 1308.0850,
    section 4.
    """

    NAME = "RMSProp"

    def slots(self):
        """Returns the averages and the velocity that the options need."""
        options = self._options
        wanted = {"rms": True, "mg": options.rmsprop_centered, "momentum": options.rmsprop_momentum}
        return {name: 0.0 for name, is_wanted in wanted.items() if is_wanted}

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        options = self._options
        slots = {"rms": self._average(variable, "rms", tf.square(gradient))}
        square = slots["rms"]
        if options.rmsprop_centered:
            slots["mg"] = self._average(variable, "mg", gradient)
            # Rounding may leave a variance below zero.
            square = tf.maximum(square - tf.square(slots["mg"]), 0.0)
        direction = gradient / self._root(square)
        if options.rmsprop_momentum:
            direction += options.rmsprop_momentum * self.slot(variable, "momentum")
            slots["momentum"] = direction
        return self.assign(variable, rate * direction, **slots)

    def _average(self, variable, name, value):
        decay = self._options.rmsprop_decay
        return decay * self.slot(variable, name) + (1.0 - decay) * value

    def _root(self, square):
        epsilon = self._options.optimizer_epsilon
        if self._options.placement == "inside":
            return tf.sqrt(square + epsilon)
        return tf.sqrt(square) + epsilon


VARIANTS = {"rmsprop": RMSProp}
