"""The options of optimization: optimizer and learning rate schedule."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from absl import flags

from common import Options, option
from utils.errors import OptionError


class OptimizerRow(NamedTuple):
    """What is known of an optimizer without TensorFlow; core/training/optimizers.py builds it.

    Attributes:
      slots: Names of the variables that it keeps for each weight.
      scalars: Names of the variables that it keeps once.
      has_decoupled_decay: Whether weight decay acts on the weights themselves, not through the
        loss.
      has_constant_rate: Whether its learning rate is --adam_learning_rate instead of the schedule.
    """

    slots: tuple = ()
    scalars: tuple = ()
    has_decoupled_decay: bool = False
    has_constant_rate: bool = False


_ADAM = OptimizerRow(slots=("Adam", "Adam_1"), scalars=("beta1_power", "beta2_power"))

OPTIMIZERS = {
    "momentum": OptimizerRow(slots=("Momentum",)),
    "adam": _ADAM._replace(has_constant_rate=True),
    "adamw": _ADAM._replace(has_decoupled_decay=True),
    "sgd": OptimizerRow(),
}

# The names in the table of core/training/schedules.py.
LEARNING_POLICIES = ("poly", "step", "cosine")


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Options):
    """The optimizer, and how gradients are scaled before they reach it."""

    SECTION = "optimizer"

    optimizer: str = option(
        flags.DEFINE_string,
        "momentum",
        "The optimizer. adam uses --adam_learning_rate, the others --base_learning_rate with "
        "--learning_policy.",
        choices=tuple(OPTIMIZERS),
    )
    momentum: float = option(
        flags.DEFINE_float, 0.9, "Momentum coefficient.", minimum=0.0, maximum=1.0
    )
    adam_learning_rate: float = option(
        flags.DEFINE_float, 0.001, "Learning rate of adam, constant.", above=0.0
    )
    adam_epsilon: float = option(flags.DEFINE_float, 1e-8, "Epsilon of adam and adamw.", above=0.0)
    weight_decay: float = option(
        flags.DEFINE_float,
        4e-5,
        "L2 regularization of convolution weights. With adamw: decoupled decay, each step shrinks "
        "them by learning rate x this value (try 0.01).",
        minimum=0.0,
    )
    bias_multiplier: float = option(
        flags.DEFINE_float, 2.0, "Gradient multiplier of biases.", minimum=0.0
    )
    last_layer_gradient_multiplier: float = option(
        flags.DEFINE_float, 1.0, "Gradient multiplier of the head.", minimum=0.0
    )
    last_layers_contain_logits_only: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether --last_layer_gradient_multiplier and --initialize_last_layer apply to the logits "
        "layer only instead of the whole head.",
    )
    clip_gradient_norm: float = option(
        flags.DEFINE_float,
        0.0,
        "Maximum global gradient norm, measured before the multipliers; 0: no clipping.",
        minimum=0.0,
    )

    @property
    def row(self) -> OptimizerRow:
        """What is known of the chosen optimizer."""
        return OPTIMIZERS[self.optimizer]


@dataclasses.dataclass(frozen=True)
class ScheduleOptions(Options):
    """The learning rate as a function of the global step."""

    SECTION = "schedule"

    base_learning_rate: float = option(
        flags.DEFINE_float, 0.0001, "Initial learning rate (not of adam).", minimum=0.0
    )
    learning_policy: str = option(
        flags.DEFINE_string, "poly", "Learning rate schedule.", choices=LEARNING_POLICIES
    )
    learning_power: float = option(flags.DEFINE_float, 0.9, "Power of poly.", minimum=0.0)
    decay_steps: float = option(
        flags.DEFINE_float,
        0.0,
        "Steps over which poly decays; 0: training_number_of_steps - slow_start_step.",
        minimum=0.0,
    )
    end_learning_rate: float = option(
        flags.DEFINE_float, 0.0, "Final learning rate of poly.", minimum=0.0
    )
    learning_rate_decay_factor: float = option(
        flags.DEFINE_float, 0.1, "Factor of each decay of the step policy.", above=0.0
    )
    learning_rate_decay_step: int = option(
        flags.DEFINE_integer, 2000, "Steps between two decays of the step policy.", minimum=1
    )
    slow_start_step: int = option(
        flags.DEFINE_integer,
        0,
        "Steps at --slow_start_learning_rate before the policy starts.",
        minimum=0,
    )
    slow_start_learning_rate: float = option(
        flags.DEFINE_float, 1e-4, "Learning rate during --slow_start_step.", minimum=0.0
    )

    def check_with(self, records: dict):
        """Raises OptionError if the slow start takes all of a training's steps."""
        if "train" not in records:
            return
        total = records["train"].training_number_of_steps
        if self.slow_start_step >= total:
            raise OptionError(
                f"--slow_start_step={self.slow_start_step} must be below "
                f"--training_number_of_steps={total}."
            )
