"""The options of the learning rate as a function of the step."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from absl import flags

from common import Options, option
from options import segments
from options.segments import Length
from utils.errors import OptionError


class PolicyRow(NamedTuple):
    """What is known of a policy without TensorFlow; a file of core/training/schedules computes it.

    Attributes:
      flags: Names of the options that it reads, beside those of the DeepLab family, which any
        policy accepts because the family's scripts share flag files.
      momentum: (smallest, largest) momentum of a policy that cycles the momentum too.
    """

    flags: tuple = ()
    momentum: tuple | None = None


# What says how the momentum moves.
CYCLED = ("cycle_momentum", "cycle_momentum_minimum", "cycle_momentum_maximum")

POLICIES = {
    "poly": PolicyRow(),
    "step": PolicyRow(),
    "cosine": PolicyRow(("cosine_steps", "cosine_end_learning_rate")),
    "multi_step": PolicyRow(("multi_step_milestones", "multi_step_learning_rates")),
    "cosine_restarts": PolicyRow(("cosine_steps", "cosine_multiplier", "cosine_end_learning_rate")),
    "one_cycle": PolicyRow(
        (
            "one_cycle_rising_share",
            "one_cycle_division",
            "one_cycle_final_division",
            "one_cycle_shape",
            *CYCLED,
        ),
        momentum=(0.85, 0.95),
    ),
    "cyclic": PolicyRow(
        (
            "cyclic_maximum_learning_rate",
            "cyclic_steps_up",
            "cyclic_steps_down",
            "cyclic_mode",
            "cyclic_factor",
            *CYCLED,
        ),
        momentum=(0.8, 0.9),
    ),
    "exponential": PolicyRow(),
    "constant": PolicyRow(),
    "segments": PolicyRow(("learning_rate_segment", "learning_rate_period")),
}
LEARNING_POLICIES = tuple(POLICIES)
# Those that flag files of the DeepLab family name.
OF_THE_FAMILY = ("poly", "step", "cosine")


@dataclasses.dataclass(frozen=True)
class ScheduleOptions(Options):
    """The learning rate as a function of the global step."""

    SECTION = "schedule"

    base_learning_rate: float = option(
        flags.DEFINE_float,
        0.0001,
        "Initial learning rate; the peak of one_cycle, the lowest rate of cyclic (not of adam, "
        "unless --adam_learning_rate=0).",
        minimum=0.0,
    )
    learning_policy: str = option(
        flags.DEFINE_string, "poly", "Learning rate schedule.", choices=LEARNING_POLICIES
    )
    learning_rate_unit: str = option(
        flags.DEFINE_string,
        "step",
        "What the schedule counts. epoch: the rate changes between epochs only, and all numbers of "
        "steps in the schedule's flags are numbers of epochs.",
        choices=("step", "epoch"),
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
        flags.DEFINE_float,
        0.1,
        "Factor of each decay of step and multi_step, and of exponential over "
        "--learning_rate_decay_step steps.",
        above=0.0,
    )
    learning_rate_decay_step: int = option(
        flags.DEFINE_integer,
        2000,
        "Steps between two decays of step; steps over which exponential falls by the factor.",
        minimum=1,
    )
    slow_start_step: int = option(
        flags.DEFINE_integer,
        0,
        "Steps from --slow_start_learning_rate on before the policy starts.",
        minimum=0,
    )
    slow_start_learning_rate: float = option(
        flags.DEFINE_float,
        1e-4,
        "Learning rate at the beginning of --slow_start_step.",
        minimum=0.0,
    )
    slow_start_shape: str = option(
        flags.DEFINE_string,
        "constant",
        "The rate during --slow_start_step: constant, or linear up to --base_learning_rate "
        "(warm-up).",
        choices=("constant", "linear"),
    )
    multi_step_milestones: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "With multi_step: steps from which on the rate is multiplied once more by "
        "--learning_rate_decay_factor, comma separated, rising.",
        convert=int,
        minimum=1,
    )
    multi_step_learning_rates: tuple[float, ...] | None = option(
        flags.DEFINE_list,
        None,
        "With multi_step: the rates before, between and after the milestones, instead of the "
        "base rate and its factor.",
        convert=float,
        minimum=0.0,
    )
    cosine_steps: int = option(
        flags.DEFINE_integer,
        0,
        "With cosine: steps down to the end, after which the rate rises again; 0: all of them. "
        "With cosine_restarts: steps of the first period.",
        minimum=0,
    )
    cosine_multiplier: int = option(
        flags.DEFINE_integer,
        1,
        "With cosine_restarts: how many times longer each period is than the one before.",
        minimum=1,
    )
    cosine_end_learning_rate: float = option(
        flags.DEFINE_float, 0.0, "Lowest learning rate of cosine and cosine_restarts.", minimum=0.0
    )
    one_cycle_rising_share: float = option(
        flags.DEFINE_float,
        0.3,
        "With one_cycle: share of the training in which the rate rises.",
        above=0.0,
        maximum=1.0,
    )
    one_cycle_division: float = option(
        flags.DEFINE_float,
        25.0,
        "With one_cycle: --base_learning_rate, the peak, divided by it is the first rate.",
        above=0.0,
    )
    one_cycle_final_division: float = option(
        flags.DEFINE_float,
        1e4,
        "With one_cycle: the first rate divided by it is the last rate.",
        above=0.0,
    )
    one_cycle_shape: str = option(
        flags.DEFINE_string, "cos", "Shape of one_cycle's slopes.", choices=("cos", "linear")
    )
    cyclic_maximum_learning_rate: float | None = option(
        flags.DEFINE_float, None, "Highest learning rate of cyclic.", minimum=0.0
    )
    cyclic_steps_up: int = option(
        flags.DEFINE_integer, 2000, "With cyclic: steps in which the rate rises.", minimum=1
    )
    cyclic_steps_down: int | None = option(
        flags.DEFINE_integer,
        None,
        "With cyclic: steps in which the rate falls; unset: --cyclic_steps_up.",
        minimum=1,
    )
    cyclic_mode: str = option(
        flags.DEFINE_string,
        "triangular",
        "Height of the cycles of cyclic: always the same, half of the one before, or multiplied by "
        "--cyclic_factor at each step.",
        choices=("triangular", "triangular2", "exp_range"),
    )
    cyclic_factor: float = option(
        flags.DEFINE_float, 1.0, "Factor per step of exp_range.", above=0.0, maximum=1.0
    )
    cycle_momentum: bool = option(
        flags.DEFINE_bool,
        True,
        "With one_cycle and cyclic: whether the momentum (adam, adamw, amsgrad: the first beta) "
        "moves against the rate.",
    )
    cycle_momentum_minimum: float | None = option(
        flags.DEFINE_float,
        None,
        "Momentum at the highest rate; unset: 0.85 with one_cycle, 0.8 with cyclic.",
        minimum=0.0,
        maximum=1.0,
    )
    cycle_momentum_maximum: float | None = option(
        flags.DEFINE_float,
        None,
        "Momentum at the lowest rate; unset: 0.95 with one_cycle, 0.9 with cyclic.",
        minimum=0.0,
        maximum=1.0,
    )
    learning_rate_segment: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "With segments: SHAPE:START:END:LENGTH, such as linear:0.001:0.01:500 or "
        "cos-::0.0001:2epochs; repeat the flag for the segments that follow. SHAPE is const, "
        "linear, sin+, sin-, cos+, cos- or a power such as 2. Without START a segment begins where "
        "the one before ends, the first at --base_learning_rate.",
    )
    learning_rate_period: str | None = option(
        flags.DEFINE_string,
        None,
        "With segments: when they begin again, such as 500 or 2epochs; unset: the last rate stays.",
    )

    @property
    def row(self) -> PolicyRow:
        """What is known of the chosen policy."""
        return POLICIES[self.learning_policy]

    @property
    def segments(self) -> tuple:
        """The segments of the policy `segments`."""
        return tuple(segments.parse(text) for text in self.learning_rate_segment or ())

    @property
    def period(self) -> Length | None:
        """When the segments begin again."""
        if self.learning_rate_period is None:
            return None
        return segments.length_of(
            self.learning_rate_period, f"--learning_rate_period={self.learning_rate_period}"
        )

    @property
    def cycled_momentum(self) -> tuple | None:
        """The (smallest, largest) momentum; None where the momentum does not move."""
        if self.row.momentum is None or not self.cycle_momentum:
            return None
        given = (self.cycle_momentum_minimum, self.cycle_momentum_maximum)
        return tuple(
            default if value is None else value for value, default in zip(given, self.row.momentum)
        )

    def check(self):
        """Raises OptionError for options that contradict each other."""
        checks = {
            "multi_step": self._check_milestones,
            "cosine_restarts": self._check_restarts,
            "cyclic": self._check_cyclic,
            "segments": self._check_segments,
        }
        checks.get(self.learning_policy, lambda: None)()
        momentum = self.cycled_momentum
        if momentum is not None and momentum[0] > momentum[1]:
            raise OptionError(
                f"--cycle_momentum_minimum={momentum[0]:g} is above "
                f"--cycle_momentum_maximum={momentum[1]:g}."
            )

    def _check_milestones(self):
        milestones, rates = self.multi_step_milestones, self.multi_step_learning_rates
        if not milestones:
            raise OptionError("--learning_policy=multi_step needs --multi_step_milestones.")
        if list(milestones) != sorted(set(milestones)):
            raise OptionError(
                f"--multi_step_milestones={','.join(map(str, milestones))} must rise."
            )
        if rates is not None and len(rates) != len(milestones) + 1:
            raise OptionError(
                f"--multi_step_learning_rates has {len(rates)} values, but {len(milestones)} "
                f"milestones need {len(milestones) + 1}."
            )

    def _check_restarts(self):
        if not self.cosine_steps:
            raise OptionError(
                "--learning_policy=cosine_restarts needs --cosine_steps, the steps of the first "
                "period."
            )

    def _check_cyclic(self):
        maximum = self.cyclic_maximum_learning_rate
        if maximum is None:
            raise OptionError("--learning_policy=cyclic needs --cyclic_maximum_learning_rate.")
        if maximum < self.base_learning_rate:
            raise OptionError(
                f"--cyclic_maximum_learning_rate={maximum:g} is below "
                f"--base_learning_rate={self.base_learning_rate:g}, the lowest rate."
            )

    def _check_segments(self):
        if not self.segments:
            raise OptionError("--learning_policy=segments needs --learning_rate_segment.")
        # Reads the period too.
        counts_epochs = self.counts_epochs_in_segments
        if self.learning_rate_unit == "epoch" and counts_epochs:
            raise OptionError(
                "with --learning_rate_unit=epoch all lengths of segments are epochs; leave out "
                f"{segments.EPOCHS!r}."
            )

    @property
    def counts_epochs_in_segments(self) -> bool:
        """Whether a segment or the period of segments is given in epochs."""
        if self.learning_policy != "segments":
            return False
        lengths = [segment.length for segment in self.segments]
        return any(length.in_epochs for length in (*lengths, self.period) if length is not None)

    def check_with(self, records: dict):
        """Raises OptionError if the slow start takes all of a training's steps."""
        if "train" not in records or self.learning_rate_unit == "epoch":
            return
        total = records["train"].training_number_of_steps
        if self.slow_start_step >= total:
            raise OptionError(
                f"--slow_start_step={self.slow_start_step} must be below "
                f"--training_number_of_steps={total}."
            )


def unused(options: ScheduleOptions) -> frozenset:
    """Returns the names of the options of other policies, which have no effect with this one."""
    names = {name for row in POLICIES.values() for name in row.flags}
    return frozenset(names - set(options.row.flags))
