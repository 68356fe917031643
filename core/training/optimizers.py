"""Optimizers, and the factors by which gradients of some variables are multiplied."""

from __future__ import annotations

import re

from core.architectures import Architecture
from options.optimization import OptimizerOptions
from utils.compat import tf


class DecayingAdam(tf.train.AdamOptimizer):
    """Adam with decoupled weight decay.

    The decay is applied with the update, so a skipped (overflowed) step skips it too. Source: arXiv
    1711.05101, algorithm 2, with the factor learning_rate * weight_decay.
    """

    def __init__(self, learning_rate: tf.Tensor, weight_decay: float, decaying, **settings):
        """Makes the optimizer.

        Args:
          learning_rate: float32 scalar.
          weight_decay: Share of the learning rate by which weights shrink in a step.
          decaying: Names of the variables that decay, without ":0".
          **settings: Of `tf.train.AdamOptimizer`.
        """
        super().__init__(learning_rate, **settings)
        self._factor = learning_rate * weight_decay
        self._decaying = frozenset(decaying)

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Returns the operation that shrinks weights, then applies gradients as Adam does."""
        pairs = list(grads_and_vars)
        decayed = [
            tf.assign_sub(variable, self._factor * variable.read_value()).op
            for _, variable in pairs
            if variable.op.name in self._decaying
        ]
        with tf.control_dependencies(decayed):
            return super().apply_gradients(pairs, global_step=global_step, name=name)


def create(
    options: OptimizerOptions, learning_rate: tf.Tensor, decaying=frozenset()
) -> tf.train.Optimizer:
    """Returns the optimizer.

    Args:
      options: Which optimizer, and its numbers.
      learning_rate: float32 scalar, `schedules.learning_rate(config, ...)`.
      decaying: Names of the variables that decay, for optimizers whose decay is decoupled; for
        others decay is a part of the loss.
    """
    return BUILDERS[options.optimizer](options, learning_rate, decaying)


def _momentum(options, learning_rate, unused_decaying):
    return tf.train.MomentumOptimizer(learning_rate, options.momentum)


def _adam(options, learning_rate, unused_decaying):
    return tf.train.AdamOptimizer(learning_rate, epsilon=options.adam_epsilon)


def _adamw(options, learning_rate, decaying):
    decaying = decaying if options.weight_decay else ()
    return DecayingAdam(learning_rate, options.weight_decay, decaying, epsilon=options.adam_epsilon)


def _sgd(unused_options, learning_rate, unused_decaying):
    return tf.train.GradientDescentOptimizer(learning_rate)


# Name -> function (options, learning rate, names that decay) -> optimizer. What restore and the
# schedule know of each is in options/optimization.py.
BUILDERS = {"momentum": _momentum, "adam": _adam, "adamw": _adamw, "sgd": _sgd}


def gradient_multiplier(name: str, options: OptimizerOptions, architecture: Architecture) -> float:
    """Returns the factor of a variable's gradient.

    Biases of convolutions have `bias_multiplier` (a batch norm's beta does not), the head has
    `last_layer_gradient_multiplier`, the architecture may have further factors, and a variable has
    the product of its own.

    Args:
      name: The variable's name, without ":0".
      options: The multipliers.
      architecture: Defines the head and the further factors.
    """
    factor = 1.0
    if name.split("/")[-1] == "biases":
        factor *= options.bias_multiplier
    scopes = architecture.last_layer_scopes(options.last_layers_contain_logits_only)
    if any(re.match(scope, name) for scope in scopes):
        factor *= options.last_layer_gradient_multiplier
    for scope, multiplier in architecture.gradient_multipliers.items():
        if re.match(scope, name):
            factor *= multiplier
    return factor


def multiply_gradients(gradients, options: OptimizerOptions, architecture: Architecture) -> list:
    """Returns (gradient, variable) pairs with the gradients multiplied.

    Args:
      gradients: (gradient, variable) pairs; a gradient of None stays.
      options: The multipliers.
      architecture: Defines the head.
    """
    multiplied = []
    for gradient, variable in gradients:
        factor = gradient_multiplier(variable.op.name, options, architecture)
        # A factor of 1 adds no operation to the graph.
        if gradient is not None and factor != 1.0:
            gradient = gradient * factor
        multiplied.append((gradient, variable))
    return multiplied
