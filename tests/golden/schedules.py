"""Recomputes `schedules.json`: the learning rate by step."""

from __future__ import annotations

import pathlib

import numpy as np

from core.training import schedules
from options.training import TrainingSpec
from utils.compat import tf

# Not a value of --learning_policy: a schedule that only code can ask for.
_MULTI_STEPS = "multi_steps"


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
    with tf.Graph().as_default():
        global_step = tf.placeholder(tf.int64, [])
        rate = _rate(dict(arguments), global_step)
        with tf.Session() as session:
            values = [session.run(rate, {global_step: step}) for step in steps]
    return np.array(values, np.float32)


def _rate(arguments, global_step):
    burn_in = arguments.pop("slow_start_burnin_type", "none")
    boundaries = arguments.pop("boundaries", None)
    boundary_rates = arguments.pop("boundary_learning_rates", None)
    if arguments["learning_policy"] != _MULTI_STEPS:
        training = TrainingSpec.of(**arguments)
        return schedules.learning_rate(training, global_step, burn_in=burn_in)
    slow_start_step = arguments["slow_start_step"]
    rate = schedules.piecewise(
        tf.maximum(global_step - slow_start_step, 0), boundaries, boundary_rates
    )
    return schedules.slow_start(
        rate,
        global_step,
        base=arguments["base_learning_rate"],
        steps=slow_start_step,
        start=arguments["slow_start_learning_rate"],
        burn_in=burn_in,
    )
