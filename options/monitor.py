"""The options of what follows from evaluations during training: best checkpoints, rate, end."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError

ABSOLUTE, RELATIVE = "abs", "rel"

# What has no effect unless its first option is set.
_GROUPS = (
    (
        "early_stopping_patience",
        ("early_stopping_min_delta", "early_stopping_min_delta_mode", "early_stopping_cooldown"),
    ),
    (
        "plateau_patience",
        (
            "plateau_factor",
            "plateau_cooldown",
            "plateau_min_delta",
            "plateau_min_delta_mode",
            "plateau_minimum_learning_rate",
            "early_stopping_cooldown",
        ),
    ),
)
# What counts or reads evaluations during training.
_OF_EVALUATIONS = (
    "monitor",
    "monitor_mode",
    "save_top_k",
    "early_stopping_patience",
    "plateau_patience",
    "sanity_eval_batches",
)


@dataclasses.dataclass(frozen=True)
class MonitorOptions(Options):
    """The monitored score, and what its course decides."""

    SECTION = "monitor"

    monitor: str | None = option(
        flags.DEFINE_string,
        None,
        "Score that selects the best checkpoint, lowers the learning rate and stops early: miou, "
        "pixel_accuracy, boundary_iou (with --boundary_width), iou/CLASS for one class, "
        "training_loss (mean since the last evaluation) ...; unset: miou, in binary tasks iou, in "
        "multi-label ones mean_iou_of_labels.",
        changeable=True,
    )
    monitor_mode: str = option(
        flags.DEFINE_string,
        "auto",
        "Whether a larger (max) or a smaller score is better; auto: as the score is meant.",
        choices=("auto", "min", "max"),
        changeable=True,
    )
    save_top_k: int = option(
        flags.DEFINE_integer,
        1,
        "Number of best checkpoints to keep: the best is in best/; with 2 or more, all of them are "
        "in top/ too.",
        minimum=1,
        changeable=True,
    )
    early_stopping_patience: int = option(
        flags.DEFINE_integer,
        0,
        "Evaluations without an improvement after which training stops; 0: no early stopping.",
        minimum=0,
        changeable=True,
    )
    early_stopping_min_delta: float = option(
        flags.DEFINE_float,
        0.0,
        "What early stopping counts as an improvement: a change of the score by more than this.",
        minimum=0.0,
        changeable=True,
    )
    early_stopping_min_delta_mode: str = option(
        flags.DEFINE_string,
        ABSOLUTE,
        "Whether --early_stopping_min_delta is a difference (abs) or a share of the best score "
        "(rel).",
        choices=(ABSOLUTE, RELATIVE),
        changeable=True,
    )
    early_stopping_cooldown: int = option(
        flags.DEFINE_integer,
        0,
        "Evaluations that early stopping does not count after --plateau_patience lowered the rate.",
        minimum=0,
        changeable=True,
    )
    plateau_patience: int = option(
        flags.DEFINE_integer,
        0,
        "Evaluations without an improvement after which the learning rate is multiplied by "
        "--plateau_factor, on top of its schedule; 0: never.",
        minimum=0,
    )
    plateau_factor: float = option(
        flags.DEFINE_float, 0.1, "Factor of the learning rate on a plateau, below 1.", above=0.0
    )
    plateau_cooldown: int = option(
        flags.DEFINE_integer,
        0,
        "Evaluations after a reduction that do not count towards the next one.",
        minimum=0,
    )
    plateau_min_delta: float = option(
        flags.DEFINE_float,
        1e-4,
        "What a plateau ends with: a change of the score by more than this.",
        minimum=0.0,
    )
    plateau_min_delta_mode: str = option(
        flags.DEFINE_string,
        ABSOLUTE,
        "Whether --plateau_min_delta is a difference (abs) or a share of the best score (rel).",
        choices=(ABSOLUTE, RELATIVE),
    )
    plateau_minimum_learning_rate: float = option(
        flags.DEFINE_float,
        0.0,
        "Rate below which a plateau does not lower the scheduled one.",
        minimum=0.0,
    )
    sanity_eval_batches: int = option(
        flags.DEFINE_integer,
        0,
        "Batches of --eval_split to evaluate before the first step, so that what is wrong with "
        "evaluation is known at once; training is the same with any number.",
        minimum=0,
        changeable=True,
    )

    def check(self):
        """Raises OptionError if a factor does not lower the rate."""
        if not self.plateau_factor < 1.0:
            raise OptionError(
                f"--plateau_factor is {self.plateau_factor:g}, but must be below 1 to lower the "
                "learning rate."
            )

    def check_with(self, records: dict):
        """Raises OptionError for options without effect: nothing is evaluated, or none asks."""
        defaults = type(self)()
        changed = [name for name in self.names() if getattr(self, name) != getattr(defaults, name)]
        for switch, names in _GROUPS:
            for name in names:
                if name in changed and switch not in changed:
                    raise OptionError(f"--{name} has no effect without --{switch}; pass both.")
        if "train" not in records or records["train"].evaluates:
            return
        for name in changed:
            if name in _OF_EVALUATIONS:
                raise OptionError(
                    f"--{name}={getattr(self, name)} is about evaluations during training; pass "
                    "--eval_interval_steps or --eval_interval_epochs too."
                )
