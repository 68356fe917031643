"""The options of the recalibration of batch norm."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.inference import CheckpointOptions
from utils.errors import OptionError

# What --keep is to keep nothing.
NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class RecalibrationOptions(CheckpointOptions):
    """Which checkpoint becomes which, by how many batches."""

    SECTION = "recalibration"

    output: str | None = option(
        flags.DEFINE_string, None, "Prefix of the checkpoint to write, such as FOLDER/model.ckpt."
    )
    num_batches: int = option(
        flags.DEFINE_integer,
        0,
        "Batches of --train_split that are averaged; 0: all images, once.",
        minimum=0,
    )
    keep: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "Parts whose moving averages stay, as --freeze names them; repeat the flag for more. "
        "Unset: those that the run froze with their moving averages; nothing: none.",
    )

    def check(self):
        """Raises OptionError for several checkpoints, or options that contradict each other."""
        super().check()
        if len(self.checkpoint_path or ()) > 1:
            raise OptionError(
                f"--checkpoint_path names {len(self.checkpoint_path)} checkpoints; pass one, each "
                "is recalibrated by itself."
            )
        if self.keep and NOTHING in self.keep and len(self.keep) > 1:
            raise OptionError(f"--keep={NOTHING} contradicts the other --keep; leave one out.")
