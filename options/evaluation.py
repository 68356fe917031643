"""The options of an evaluation."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.averaging import ScaleOptions
from options.inference import CheckpointOptions
from options.postprocessing import PostprocessOptions
from utils.errors import OptionError

# What an image without anything of a class counts as; the first is the default.
EMPTY_IMAGES = ("one", "zero", "skip")


@dataclasses.dataclass(frozen=True)
class EvalOptions(CheckpointOptions, ScaleOptions, PostprocessOptions):
    """What is evaluated, and how."""

    SECTION = "evaluation"

    CHOICES = (*CheckpointOptions.CHOICES, "all")

    eval_logdir: str | None = option(
        flags.DEFINE_string, None, "Folder for the results; unset: eval/ beside the checkpoint."
    )
    eval_split: str = option(flags.DEFINE_string, "val", "Split to evaluate on.")
    eval_batch_size: int = option(flags.DEFINE_integer, 1, "Images per step.", minimum=1)
    watch: bool = option(
        flags.DEFINE_bool,
        False,
        "Evaluate each new checkpoint of --checkpoint_dir until the training that writes them has "
        "ended.",
    )
    eval_interval_secs: int = option(
        flags.DEFINE_integer, 300, "Seconds between checks for a new checkpoint.", minimum=1
    )
    watch_timeout_secs: int = option(
        flags.DEFINE_integer,
        0,
        "Stop watching after this many seconds without a new checkpoint; 0: never.",
        minimum=0,
    )
    max_number_of_evaluations: int = option(
        flags.DEFINE_integer,
        0,
        "Stop watching after this many evaluations, 0: no limit; above 1 it implies --watch.",
        minimum=0,
    )
    boundary_width: float = option(
        flags.DEFINE_float,
        0.0,
        "Measure boundary IoU and boundary F1 within this fraction of the image diagonal (0.02 and "
        "0.0075 in their papers); 0: off.",
        minimum=0.0,
        maximum=0.5,
    )
    calibration_bins: int = option(
        flags.DEFINE_integer,
        0,
        "Number of confidence bins of the calibration error (15 is usual); 0: off.",
        minimum=0,
        maximum=1000,
    )
    empty_images: str = option(
        flags.DEFINE_string,
        EMPTY_IMAGES[0],
        "Binary and multilabel: the score per image (IoU, Dice, map10) where a class is neither "
        "labelled nor predicted; skip leaves the image out.",
        choices=EMPTY_IMAGES,
    )
    threshold_sweep: bool = option(
        flags.DEFINE_bool,
        False,
        "Binary and multilabel: measure every threshold from 0 to 0.99, AUC and average precision.",
    )
    musket_metrics: bool = option(
        flags.DEFINE_bool,
        False,
        "Measure musket.iou and musket.iot, as the Keras pipeline computes them.",
    )
    report: bool = option(flags.DEFINE_bool, True, "Write report.html.")

    @property
    def watches(self) -> bool:
        """Whether new checkpoints are evaluated as a training writes them."""
        return self.watch or self.max_number_of_evaluations > 1

    def check(self):
        """Raises OptionError for two ways to choose checkpoints."""
        super().check()
        if self.watches and (self.checkpoint_path or self.checkpoint != "newest"):
            raise OptionError(
                "--watch (or --max_number_of_evaluations above 1) evaluates the newest checkpoints "
                "of --checkpoint_dir; leave out --checkpoint and --checkpoint_path."
            )
