"""The options of all commands that use a trained network: which checkpoint, which windows.

The option records of eval.py, predict.py, vis.py and export_model.py extend these, so that a flag
is written once and means the same in each of them.
"""

from __future__ import annotations

import dataclasses
import os

from absl import flags

from common import Options, option
from utils.errors import OptionError

_RULE = (
    "pass --checkpoint_dir=RUN for a checkpoint of a folder, or "
    "--checkpoint_path=RUN/model.ckpt-STEP for a certain one"
)


@dataclasses.dataclass(frozen=True)
class CheckpointOptions(Options):
    """Which checkpoint, which of its weights, and as which network."""

    # What --checkpoint may be, beside a step.
    CHOICES = ("newest", "best")

    checkpoint_dir: str | None = option(
        flags.DEFINE_string, None, "Folder of a run; --checkpoint chooses one of its checkpoints."
    )
    checkpoint: str = option(
        flags.DEFINE_string,
        "newest",
        "Which checkpoint of --checkpoint_dir: newest, best (by the evaluations during training), "
        "a step, or with eval.py all (one evaluation each).",
    )
    checkpoint_path: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "Checkpoint, as a prefix such as FOLDER/model.ckpt-1000; repeat the flag to average the "
        "probabilities of several.",
        convert=str,
    )
    use_ema: bool = option(
        flags.DEFINE_bool,
        False,
        "Use the exponential moving average (EMA) of the weights, which training keeps with "
        "--ema_decay.",
    )
    change_network: bool = option(
        flags.DEFINE_bool,
        False,
        "Let given network flags override the options saved beside the checkpoint, for example to "
        "run a network trained at output stride 16 at 8.",
    )

    def check(self):
        """Raises OptionError if checkpoints are named in two ways, or in none that is known."""
        if self.checkpoint not in self.CHOICES and not self.checkpoint.isdigit():
            raise OptionError(
                f"--checkpoint is {self.checkpoint!r}, but must be {', '.join(self.CHOICES)} or a "
                "step."
            )
        if self.checkpoint_path and self.checkpoint_dir:
            raise OptionError(f"{_RULE}; both are given.")
        if self.checkpoint_path and self.checkpoint != "newest":
            raise OptionError(
                f"--checkpoint={self.checkpoint} chooses among those of --checkpoint_dir, but "
                "--checkpoint_path names one; leave one of them out."
            )

    @property
    def prefixes(self) -> tuple:
        """The prefixes that --checkpoint_path names."""
        return self.checkpoint_path or ()

    def folders(self) -> list:
        """Returns the folder of each checkpoint, where its options lie.

        Raises:
          OptionError: If no checkpoint is named.
        """
        if self.checkpoint_dir:
            return [self.checkpoint_dir]
        if not self.prefixes:
            raise OptionError(f"{_RULE}; neither is given.")
        return [os.path.dirname(path) or "." for path in self.prefixes]


@dataclasses.dataclass(frozen=True)
class WindowOptions(Options):
    """Sliding windows over large images."""

    SECTION = "windows"

    window_size: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Height,width of the overlapping windows for large images; unset: the training crop.",
        convert=int,
        length=2,
        minimum=1,
    )
    window_overlap: float = option(
        flags.DEFINE_float,
        0.25,
        "Minimum overlap of neighbouring windows, as a fraction of their side.",
        minimum=0.0,
        maximum=0.9,
    )
    max_pixels: int | None = option(
        flags.DEFINE_integer,
        None,
        "Cut images with more pixels into windows; unset: images larger than one --window_size, or "
        "none if that is unset too.",
        minimum=1,
    )

    window_grid: int | None = option(
        flags.DEFINE_integer,
        None,
        "Cut every image into this many rows and columns of cells, each seen on its own, as the "
        "Keras pipeline's crops do.",
        minimum=2,
    )

    def check(self):
        """Raises OptionError for two ways to cut."""
        if self.window_grid is not None and (self.window_size or self.max_pixels):
            raise OptionError(
                "--window_grid cuts every image into cells, and --window_size or --max_pixels into "
                "windows; pass one of them."
            )

    @property
    def cuts(self) -> bool:
        """Whether any image is cut."""
        return any(
            value is not None for value in (self.window_size, self.max_pixels, self.window_grid)
        )
