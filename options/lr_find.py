"""The options of the learning-rate finder."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError

_DEFAULT_STEPS = 100


@dataclasses.dataclass(frozen=True)
class LrFindOptions(Options):
    """Which learning rates are tried, when the search stops, and what is drawn."""

    SECTION = "lr_find"

    output_dir: str | None = option(
        flags.DEFINE_string, None, "Folder for lr_find.json, lr_find.csv and lr_find.png."
    )
    start_lr: float = option(flags.DEFINE_float, 1e-6, "Learning rate of the first step.", above=0)
    end_lr: float = option(
        flags.DEFINE_float, 1.0, "Learning rate that the step after the last would have.", above=0
    )
    find_steps: int = option(
        flags.DEFINE_integer, 0, "Steps of the search; 0: 100, or --find_epochs.", minimum=0
    )
    find_epochs: float = option(
        flags.DEFINE_float, 0.0, "Length of the search in epochs, instead of steps.", minimum=0.0
    )
    stop_factor: float = option(
        flags.DEFINE_float,
        4.0,
        "The search stops at a loss above this many times the lowest.",
        above=1.0,
    )
    sma: int = option(
        flags.DEFINE_integer,
        5,
        "Steps over which the change of the loss is averaged.",
        minimum=1,
    )
    n_skip_beginning: int = option(
        flags.DEFINE_integer, 10, "First steps that the picture leaves out.", minimum=0
    )
    n_skip_end: int = option(
        flags.DEFINE_integer, 5, "Last steps that the picture leaves out.", minimum=0
    )
    y_lim: tuple[float, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Lowest and highest change of the loss in the picture, such as -0.01,0.01; unset: all.",
        convert=float,
        length=2,
    )
    picture: bool = option(
        flags.DEFINE_bool, True, "Whether lr_find.png is drawn (needs matplotlib)."
    )

    def check(self):
        """Raises OptionError for options that contradict each other."""
        if not self.start_lr < self.end_lr:
            raise OptionError(
                f"--start_lr={self.start_lr:g} must be below --end_lr={self.end_lr:g}."
            )
        if self.find_steps and self.find_epochs:
            raise OptionError(
                f"--find_steps={self.find_steps} and --find_epochs={self.find_epochs:g} both say "
                "how long the search is; leave one of them out."
            )
        if self.y_lim is not None and not self.y_lim[0] < self.y_lim[1]:
            raise OptionError(
                f"--y_lim={self.y_lim[0]:g},{self.y_lim[1]:g} must be the lower value and the "
                "higher one."
            )

    def steps(self, num_images: int, images_per_step: int) -> int:
        """Returns the length of the search in steps.

        Args:
          num_images: Images of the training split.
          images_per_step: Images of a step.
        """
        if self.find_epochs:
            return max(1, -int(-self.find_epochs * num_images // images_per_step))
        return self.find_steps or _DEFAULT_STEPS
