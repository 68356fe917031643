"""What differs between variables: factors of gradients and learning rates, and what decays."""

from __future__ import annotations

import re

from core.architectures import Architecture
from options.optimizer import DECAYED_ALL, DECAYED_KERNELS, OptimizerOptions
from utils.errors import OptionError


def gradient_multiplier(name: str, options: OptimizerOptions, architecture: Architecture) -> float:
    """Returns the factor of a variable's gradient.

    Biases of convolutions have `bias_multiplier` (a batch norm's beta does not), the head has
    `last_layer_gradient_multiplier`, and a bias of the head has their product.

    Args:
      name: The variable's name, without ":0".
      options: The multipliers.
      architecture: Defines the head.
    """
    factor = 1.0
    if name.split("/")[-1] == "biases":
        factor *= options.bias_multiplier
    scopes = architecture.last_layer_scopes(options.last_layers_contain_logits_only)
    if any(re.match(scope, name) for scope in scopes):
        factor *= options.last_layer_gradient_multiplier
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


def rate_multipliers(names, options: OptimizerOptions, architecture: Architecture) -> dict:
    """Returns variable name -> factor of its learning rate, for those that have one.

    A variable has the product of the factors of all patterns that match its name, those of the
    options and of the architecture. A factor of the
    rate acts with every optimizer; one of the gradient has almost no effect on those that divide
    gradients by their own size, such as Adam.

    Args:
      names: Names of the trainable variables, without ":0", frozen ones among them.
      options: The patterns.
      architecture: Has further factors.

    Raises:
      OptionError: If a pattern of the options matches none.
    """
    factors = {}
    for scope, factor in architecture.rate_multipliers.items():
        factors.update({name: factor for name in names if re.match(scope, name)})
    for multiplier in options.multipliers:
        for name in _matched(
            multiplier.pattern, names, "learning_rate_multiplier", multiplier.text
        ):
            factors[name] = factors.get(name, 1.0) * multiplier.factor
    return factors


def decaying(names, kernels, options: OptimizerOptions) -> frozenset:
    """Returns the names of the variables that decay.

    Args:
      names: Names of the trainable variables, without ":0", frozen ones among them.
      kernels: Those that decay by default.
      options: The patterns.

    Raises:
      OptionError: If a pattern matches none.
    """
    if not options.weight_decay:
        return frozenset()
    known = {DECAYED_ALL: names, DECAYED_KERNELS: kernels}
    found = set()
    for pattern in options.weight_decay_on or (DECAYED_KERNELS,):
        found.update(
            known[pattern]
            if pattern in known
            else _matched(pattern, names, "weight_decay_on", pattern)
        )
    for pattern in options.weight_decay_off or ():
        found.difference_update(_matched(pattern, names, "weight_decay_off", pattern))
    return frozenset(found)


def _matched(pattern: str, names, flag: str, text: str) -> list:
    matched = [name for name in names if re.match(pattern, name)]
    if not matched:
        scopes = sorted({"/".join(name.split("/")[:2]) for name in names})
        raise OptionError(
            f"--{flag}={text} matches no trainable variable; their names start with "
            f"{', '.join(scopes)}."
        )
    return matched
