"""The options of the loss."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from options import loss_expression
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class LossOptions(Options):
    """The loss."""

    SECTION = "loss"

    loss: str | None = option(
        flags.DEFINE_string,
        None,
        "Loss, or a weighted sum such as 'cross_entropy + 0.5*dice(smooth=1)'; after a colon for "
        "one output: 'cross_entropy + dice; aux: cross_entropy'. Unset: the task's own.",
    )
    upsample_logits: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the loss upsamples logits to label size; otherwise it downsamples the labels.",
    )
    label_weights: tuple[float, ...] | None = option(
        flags.DEFINE_multi_float,
        None,
        "Loss weight of one class; repeat the flag, one value per class.",
        minimum=0.0,
    )
    label_weights_from: str | None = option(
        flags.DEFINE_string,
        None,
        "Formula that computes --label_weights from the pixels (effective: images) of each class "
        "in the training split, once at the start of a run.",
        choices=("median_frequency", "inverse", "effective"),
    )
    hard_example_mining_step: int = option(
        flags.DEFINE_integer,
        0,
        "Steps over which the mined fraction falls from all pixels to --top_k_percent_pixels.",
        minimum=0,
    )
    top_k_percent_pixels: float = option(
        flags.DEFINE_float,
        1.0,
        "Hard example mining: fraction of pixels, those with the largest loss, that count "
        "(1.0: all).",
        above=0.0,
        maximum=1.0,
    )

    def check(self):
        """Raises OptionError if --loss is no expression, or no class has a weight."""
        if self.label_weights and not any(self.label_weights):
            raise OptionError(
                f"all {len(self.label_weights)} --label_weights are 0, so that nothing would be "
                "learned; give at least one class a weight."
            )
        if self.loss:
            loss_expression.parse(self.loss)
