"""Recomputes `schedules.json`: the learning rate by step."""

from __future__ import annotations

import pathlib

import numpy as np

from core.training import schedules
from options.optimization import LEARNING_POLICIES
from tests.small_steps import config_of
from utils.compat import tf
from utils.errors import OptionError


def recompute(manifest: dict, unused_folder: pathlib.Path) -> dict:
    """Returns the rates of case I as the array `caseI`; see the package's docstring.

    Left out are piecewise constant rates and a linear burn-in, which no option asks for.
    """
    return {
        f"case{index}": rates(case["args"], manifest["steps"])
        for index, case in enumerate(manifest["cases"])
        if is_supported(case["args"])
    }


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    return {
        f"case{index}": np.array(case["values"], np.float32)
        for index, case in enumerate(manifest["cases"])
        if is_supported(case["args"])
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


def is_supported(arguments: dict) -> bool:
    """Whether an option of the project asks for the schedule of these arguments."""
    burn_in = arguments.get("slow_start_burnin_type", "none")
    return burn_in == "none" and arguments["learning_policy"] in LEARNING_POLICIES


def _rate(arguments, global_step):
    if not is_supported(arguments):
        raise OptionError(f"{arguments}: no option of the project asks for this schedule.")
    del arguments["slow_start_burnin_type"]
    return schedules.learning_rate(config_of(**arguments), global_step)
