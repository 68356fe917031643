"""The options of the search for thresholds."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option

# What may decide; `core.metrics.sweep` measures them.
PER_IMAGE = ("iou_per_image", "dice_per_image", "map10")
METRICS = ("iou", "dice", "matthews", *PER_IMAGE)


@dataclasses.dataclass(frozen=True)
class ThresholdOptions(Options):
    """Which thresholds are the best."""

    SECTION = "search"

    metric: str = option(
        flags.DEFINE_string,
        METRICS[0],
        "Score to maximize: over the split, or (per_image, map10) the mean over its images.",
        choices=METRICS,
    )
    per_class: bool = option(
        flags.DEFINE_bool,
        True,
        "Store the best threshold of each class; otherwise the one with the best mean score.",
    )
