"""Intervals in steps: when to log, save and evaluate.

Everything besides training steps happens at the end of a loop. To make this the same on every
device, each interval is rounded up to whole loops of `iterations_per_loop` steps, and a loop ends
on a multiple of that.
"""

from __future__ import annotations

import fractions
import math

from absl import logging

from options.config import Config
from options.training import IN_EPOCHS, TrainOptions


def _given(options: TrainOptions) -> dict:
    """Returns each interval before rounding, by the name of its option."""
    return {
        "log_steps": options.log_steps,
        "display_every": options.display_every,
        "save_checkpoints_steps": options.save_checkpoints_steps,
        "milestone_steps": options.milestone_steps,
        "eval_interval_steps": options.eval_interval_steps,
    }


def in_steps(config: Config, num_images: int, images_per_step: int) -> Config:
    """Returns the config with the number of steps in place of each number of epochs; logs it.

    Args:
      config: The options of a training.
      num_images: Images of its split.
      images_per_step: Images of a step over all ranks.
    """
    found = {}
    for name, steps_name in IN_EPOCHS.items():
        # As it was written: 0.1 is a tenth.
        epochs = fractions.Fraction(str(getattr(config.train, name)))
        if epochs:
            found[steps_name] = math.ceil(epochs * num_images / images_per_step)
            logging.info(
                "--%s=%s of %d images in steps of %d: %d steps.",
                name,
                getattr(config.train, name),
                num_images,
                images_per_step,
                found[steps_name],
            )
    return config.replace(train=config.train.replace(**found)) if found else config


def steps(options: TrainOptions, name: str) -> int:
    """Returns an interval rounded up to whole loops; 0 if it is off."""
    loop = options.iterations_per_loop
    return -(-_given(options)[name] // loop) * loop


def passed(options: TrainOptions, name: str, last: int, now: int) -> bool:
    """Whether an interval ended after step `last`, up to step `now`.

    Args:
      options: The training.
      name: The flag of the interval, see `steps`.
      last: The step at which this was asked before.
      now: The current step.
    """
    every = steps(options, name)
    return every > 0 and now // every > last // every


def notice(options: TrainOptions) -> str:
    """Returns a sentence about the intervals that are rounded up, or an empty string."""
    rounded = [
        f"--{name}={given} becomes {steps(options, name)}"
        for name, given in _given(options).items()
        if steps(options, name) != given
    ]
    if not rounded:
        return ""
    return (
        "Saving, logging and evaluation happen at the end of a loop of "
        f"--iterations_per_loop={options.iterations_per_loop} steps: {', '.join(rounded)}."
    )
