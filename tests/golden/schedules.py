"""Recomputes `schedules.json`: the learning rate by step."""

from __future__ import annotations

import pathlib

import numpy as np

from core.training import rates as product
from options.config import Config
from tests.small_steps import config_of
from utils.compat import tf

# The reference's names of what has another one here.
_NAMES = {
    "slow_start_burnin_type": "slow_start_shape",
    "boundaries": "multi_step_milestones",
    "boundary_learning_rates": "multi_step_learning_rates",
}
_VALUES = {
    ("slow_start_shape", "none"): "constant",
    ("learning_policy", "multi_steps"): "multi_step",
}


def recompute(manifest: dict, unused_folder: pathlib.Path) -> dict:
    """Returns the rates of case I as the array `caseI`; see the package's docstring."""
    return {
        f"case{index}": rates(case["args"], manifest["steps"])
        for index, case in enumerate(manifest["cases"])
    }


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    return {
        f"case{index}": np.array(case["values"], np.float32)
        for index, case in enumerate(manifest["cases"])
    }


def rates(arguments: dict, steps) -> np.ndarray:
    """Returns the learning rates at some steps, float32.

    Args:
      arguments: The arguments of the reference's schedule.
      steps: Global steps.

    Raises:
      OptionError: If the arguments are refused.
    """
    return table(options_of(arguments), steps)[:, 0].astype(np.float32)


def options_of(arguments: dict) -> dict:
    """Returns the product's options for the arguments of the reference's schedule."""
    renamed = {_NAMES.get(name, name): value for name, value in arguments.items()}
    options = {name: _VALUES.get((name, str(value)), value) for name, value in renamed.items()}
    if "multi_step_milestones" in options:
        # The reference's boundary is the last step of what comes before it.
        options["multi_step_milestones"] = tuple(
            boundary + 1 for boundary in options["multi_step_milestones"]
        )
    return options


def table(options: dict | Config, steps, steps_per_epoch=None) -> np.ndarray:
    """Returns [learning rate, momentum] at some steps, float64 [n, 2].

    Args:
      options: The product's options.
      steps: Global steps.
      steps_per_epoch: As in `core.training.rates`.
    """
    config = options if isinstance(options, Config) else config_of(**options)
    with tf.Graph().as_default():
        global_step = tf.placeholder(tf.int64, [])
        momentum = product.momentum(config, global_step, steps_per_epoch)
        row = [
            product.learning_rate(config, global_step, steps_per_epoch),
            tf.constant(config.optimizer.momentum) if momentum is None else momentum,
        ]
        with tf.Session() as session:
            found = [session.run(row, {global_step: step}) for step in steps]
    return np.array(found, np.float64)
