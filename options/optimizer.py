"""The options of the optimizer: which one, its numbers, what decays, how gradients are scaled."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import NamedTuple

from absl import flags

from common import Options, option
from options import schedule
from utils.errors import OptionError


class OptimizerRow(NamedTuple):
    """What is known of an optimizer without TensorFlow; core/training/optimizers builds it.

    Attributes:
      slots: Names of the variables that it may keep for each weight.
      scalars: Names of the variables that it keeps once.
      flags: Names of the options that it reads, beside those of the DeepLab family, which any
        optimizer accepts because the family's scripts share flag files.
      momentum: The option that a schedule with a moving momentum replaces; empty if there is none.
      has_decoupled_decay: Whether weight decay always acts on the weights themselves, not through
        the loss.
      has_constant_rate: Whether its learning rate is --adam_learning_rate instead of the schedule.
      usual_rate: The usual base rate, where the default is far from it: it must be given then.
      placements: What it knows of --epsilon_placement, its default first.
    """

    slots: tuple = ()
    scalars: tuple = ()
    flags: tuple = ()
    momentum: str = ""
    has_decoupled_decay: bool = False
    has_constant_rate: bool = False
    usual_rate: float | None = None
    placements: tuple = ()


_ADAM = OptimizerRow(
    slots=("Adam", "Adam_1"),
    scalars=("beta1_power", "beta2_power"),
    flags=("adam_beta1", "adam_beta2", "epsilon_placement"),
    momentum="adam_beta1",
    placements=("uncorrected", "corrected"),
)
_BETAS = ("adam_beta1", "adam_beta2", "optimizer_epsilon")

OPTIMIZERS = {
    "momentum": OptimizerRow(slots=("Momentum",), flags=("nesterov",), momentum="momentum"),
    "adam": _ADAM._replace(has_constant_rate=True),
    "adamw": _ADAM._replace(has_decoupled_decay=True),
    "sgd": OptimizerRow(),
    "amsgrad": _ADAM._replace(slots=("AMSGrad", "AMSGrad_1", "AMSGrad_2")),
    "rmsprop": OptimizerRow(
        slots=("RMSProp", "RMSProp_1", "RMSProp_2"),
        flags=(
            "rmsprop_decay",
            "rmsprop_momentum",
            "rmsprop_centered",
            "optimizer_epsilon",
            "epsilon_placement",
        ),
        placements=("outside", "inside"),
    ),
    "nadam": OptimizerRow(
        slots=("Nadam", "Nadam_1"),
        scalars=("nadam_step", "nadam_momentum_product", "beta2_power"),
        flags=_BETAS,
    ),
    "adamax": OptimizerRow(slots=("Adamax", "Adamax_1"), scalars=("beta1_power",), flags=_BETAS),
    "adagrad": OptimizerRow(
        slots=("Adagrad",), flags=("initial_accumulator", "optimizer_epsilon"), usual_rate=0.01
    ),
    "adadelta": OptimizerRow(
        slots=("Adadelta", "Adadelta_1"),
        flags=("adadelta_decay", "optimizer_epsilon"),
        usual_rate=1.0,
    ),
    "ftrl": OptimizerRow(
        slots=("Ftrl", "Ftrl_1"),
        flags=("initial_accumulator", "ftrl_l1", "ftrl_l2"),
        usual_rate=0.1,
    ),
}
PLACEMENTS = tuple(dict.fromkeys(place for row in OPTIMIZERS.values() for place in row.placements))
# What --weight_decay_on knows beside regular expressions.
DECAYED_KERNELS, DECAYED_ALL = "kernels", "all"


class Multiplier(NamedTuple):
    """A factor of the learning rate of some variables.

    Attributes:
      pattern: Regular expression that matches their names at the start.
      factor: The factor.
      text: How it was given.
    """

    pattern: str
    factor: float
    text: str


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
    nesterov: bool = option(
        flags.DEFINE_bool, False, "With momentum: whether it is Nesterov's momentum."
    )
    adam_learning_rate: float = option(
        flags.DEFINE_float,
        0.001,
        "Learning rate of adam, constant; 0: --base_learning_rate with --learning_policy.",
        minimum=0.0,
    )
    adam_epsilon: float = option(
        flags.DEFINE_float, 1e-8, "Epsilon of adam, adamw and amsgrad.", above=0.0
    )
    adam_beta1: float = option(
        flags.DEFINE_float,
        0.9,
        "Decay of the first moment of adam, adamw, amsgrad, nadam and adamax.",
        above=0.0,
        maximum=1.0,
    )
    adam_beta2: float = option(
        flags.DEFINE_float,
        0.999,
        "Decay of the second moment of adam, adamw, amsgrad, nadam and adamax.",
        above=0.0,
        maximum=1.0,
    )
    optimizer_epsilon: float = option(
        flags.DEFINE_float,
        1e-7,
        "Epsilon of rmsprop, nadam, adamax, adagrad and adadelta.",
        above=0.0,
    )
    epsilon_placement: str | None = option(
        flags.DEFINE_string,
        None,
        "What epsilon is added to. adam, adamw, amsgrad: the root of the second moment before the "
        "correction of its bias (uncorrected, as in TensorFlow and Keras) or after it (corrected, "
        "as in PyTorch). rmsprop: the root (outside) or what is under it (inside). Unset: "
        "uncorrected, outside.",
        choices=PLACEMENTS,
    )
    rmsprop_decay: float = option(
        flags.DEFINE_float,
        0.9,
        "Decay of the averages of rmsprop (rho, alpha).",
        minimum=0.0,
        maximum=1.0,
    )
    rmsprop_momentum: float = option(
        flags.DEFINE_float, 0.0, "Momentum of rmsprop.", minimum=0.0, maximum=1.0
    )
    rmsprop_centered: bool = option(
        flags.DEFINE_bool,
        False,
        "With rmsprop: whether gradients are divided by their standard deviation instead of the "
        "root of their mean square.",
    )
    adadelta_decay: float = option(
        flags.DEFINE_float,
        0.95,
        "Decay of the averages of adadelta (rho).",
        minimum=0.0,
        maximum=1.0,
    )
    initial_accumulator: float = option(
        flags.DEFINE_float,
        0.1,
        "Sum of squared gradients with which adagrad and ftrl start.",
        minimum=0.0,
    )
    ftrl_l1: float = option(flags.DEFINE_float, 0.0, "L1 regularization of ftrl.", minimum=0.0)
    ftrl_l2: float = option(flags.DEFINE_float, 0.0, "L2 regularization of ftrl.", minimum=0.0)
    weight_decay: float = option(
        flags.DEFINE_float,
        4e-5,
        "L2 regularization of convolution weights. With adamw or --decoupled_weight_decay each "
        "step shrinks them by learning rate x this value instead (try 0.01).",
        minimum=0.0,
    )
    weight_decay_on: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "What decays: kernels (of convolutions, except depthwise ones; the default), all (biases "
        "and batch norm too), or a regular expression that matches the start of variable names; "
        "repeat the flag for more.",
    )
    weight_decay_off: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "What does not decay, of what --weight_decay_on says: a regular expression that matches "
        "the start of variable names; repeat the flag for more.",
    )
    decoupled_weight_decay: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether weight decay shrinks the weights instead of being a part of the loss; adamw "
        "always does.",
    )
    weight_decay_after_clipping: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether gradients are clipped before weight decay is added to them, as in PyTorch.",
    )
    learning_rate_multiplier: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "A regular expression and a factor, such as aux_classifier/=10: factor of the learning "
        "rate of the variables whose names match at the start; repeat the flag for more.",
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
    clip_gradient_value: float = option(
        flags.DEFINE_float,
        0.0,
        "Maximum absolute value of each element of a gradient, before the multipliers; 0: no "
        "clipping.",
        minimum=0.0,
    )

    @property
    def row(self) -> OptimizerRow:
        """What is known of the chosen optimizer."""
        return OPTIMIZERS[self.optimizer]

    @property
    def has_constant_rate(self) -> bool:
        """Whether the learning rate is --adam_learning_rate instead of the schedule's."""
        return self.row.has_constant_rate and self.adam_learning_rate > 0.0

    @property
    def has_decoupled_decay(self) -> bool:
        """Whether weight decay acts on the weights themselves, not through the loss."""
        return self.row.has_decoupled_decay or self.decoupled_weight_decay

    @property
    def placement(self) -> str:
        """What epsilon is added to."""
        return self.epsilon_placement or self.row.placements[0]

    @property
    def multipliers(self) -> tuple:
        """The factors of learning rates, `Multiplier`s."""
        return tuple(_multiplier(text) for text in self.learning_rate_multiplier or ())

    def check(self):
        """Raises OptionError for options that contradict each other."""
        for name in ("adam_beta1", "adam_beta2"):
            if getattr(self, name) >= 1.0:
                raise OptionError(f"--{name} is {getattr(self, name):g}, but must be below 1.")
        for multiplier in self.multipliers:
            _check_expression("learning_rate_multiplier", multiplier.text, multiplier.pattern)
        for name in ("weight_decay_on", "weight_decay_off"):
            for pattern in getattr(self, name) or ():
                _check_expression(name, pattern, pattern)
        self._check_placement()
        self._check_decay()
        if self.clip_gradient_norm and self.clip_gradient_value:
            raise OptionError(
                "--clip_gradient_norm and --clip_gradient_value exclude each other; leave one out."
            )

    def _check_placement(self):
        placements = self.row.placements
        if self.epsilon_placement is not None and self.epsilon_placement not in placements:
            raise OptionError(
                f"--epsilon_placement={self.epsilon_placement} is unknown to "
                f"--optimizer={self.optimizer}"
                + (
                    f", which knows {' and '.join(placements)}."
                    if placements
                    else "; leave it out."
                )
            )

    def _check_decay(self):
        if not self.weight_decay:
            for name in (
                "weight_decay_on",
                "weight_decay_off",
                "decoupled_weight_decay",
                "weight_decay_after_clipping",
            ):
                if getattr(self, name):
                    raise OptionError(
                        f"--{name} has no effect with --weight_decay=0; leave it out."
                    )
        if self.weight_decay_after_clipping and self.has_decoupled_decay:
            raise OptionError(
                "--weight_decay_after_clipping has no effect where the decay is decoupled; leave "
                "it out."
            )
        if self.weight_decay_after_clipping and not (
            self.clip_gradient_norm or self.clip_gradient_value
        ):
            raise OptionError(
                "--weight_decay_after_clipping needs --clip_gradient_norm or --clip_gradient_value."
            )


def check_given(config):
    """Refuses given flags without effect on the chosen optimizer and schedule.

    Those of the DeepLab family are accepted, whatever is chosen: its scripts share flag files.

    Args:
      config: A `Config` with the records of optimizer and schedule.

    Raises:
      OptionError: If there is such a flag, or the optimizer needs a learning rate.
    """
    check_own_flags(config)
    options, rates = config.optimizer, config.schedule
    if options.has_constant_rate:
        _check_constant_rate(config)
        return
    config.refuse(schedule.unused(rates), f"with --learning_policy={rates.learning_policy}")
    if rates.slow_start_step == 0:
        config.refuse(["slow_start_shape"], "without --slow_start_step")
    _check_momentum(config)
    if options.row.usual_rate is not None and "base_learning_rate" not in config.given:
        raise OptionError(
            f"--optimizer={options.optimizer} needs --base_learning_rate: the default of "
            f"{rates.base_learning_rate:g} is far from the usual {options.row.usual_rate:g}."
        )


def check_own_flags(config):
    """Refuses given flags without effect on the chosen optimizer, whatever the schedule.

    Args:
      config: A `Config` with the record of the optimizer.

    Raises:
      OptionError: If there is such a flag.
    """
    options = config.optimizer
    own = {name for row in OPTIMIZERS.values() for name in row.flags}
    where = f"with --optimizer={options.optimizer}"
    config.refuse(own - set(options.row.flags), where)
    if options.row.has_decoupled_decay:
        config.refuse(["decoupled_weight_decay"], f"{where}, whose decay is decoupled anyway")


def _check_constant_rate(config):
    rates = config.schedule
    where = "with the constant rate of adam; pass --adam_learning_rate=0 to use the schedule"
    own = {name for row in schedule.POLICIES.values() for name in row.flags}
    config.refuse([*own, "learning_rate_unit", "slow_start_shape"], where)
    if "learning_policy" in config.given and rates.learning_policy not in schedule.OF_THE_FAMILY:
        config.refuse(["learning_policy"], where)


def _check_momentum(config):
    options, rates = config.optimizer, config.schedule
    where = f"with --optimizer={options.optimizer}, which has no momentum that a schedule moves"
    if not options.row.momentum:
        config.refuse(schedule.CYCLED, where)
        return
    if rates.cycled_momentum is not None:
        config.refuse(
            [options.row.momentum],
            f"with --learning_policy={rates.learning_policy}, which moves the momentum; see "
            "--cycle_momentum",
        )
    elif rates.row.momentum is not None:
        config.refuse(
            ["cycle_momentum_minimum", "cycle_momentum_maximum"], "with --nocycle_momentum"
        )


def _multiplier(text: str) -> Multiplier:
    pattern, equals, factor = text.rpartition("=")
    try:
        value = float(factor)
    except ValueError:
        value = math.nan
    if not (equals and pattern and 0.0 < value < math.inf):
        raise OptionError(
            f"--learning_rate_multiplier={text} must be PATTERN=FACTOR with a factor above 0, such "
            "as aux_classifier/=10; what shall not be trained is named by --freeze."
        )
    return Multiplier(pattern, value, text)


def _check_expression(name: str, text: str, pattern: str):
    try:
        re.compile(pattern)
    except re.error as error:
        raise OptionError(
            f"--{name}={text}: {pattern!r} is not a regular expression ({error}); see Python's re "
            "module."
        ) from None
