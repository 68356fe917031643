"""The options of the task: what the classes of the data mean."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option

# The tasks that decide by a threshold.
WITH_THRESHOLD = ("binary", "multilabel")


@dataclasses.dataclass(frozen=True)
class TaskOptions(Options):
    """What the classes of the data mean, and how a prediction is made of a probability."""

    SECTION = "task"

    task: str | None = option(
        flags.DEFINE_string,
        None,
        "multiclass: each pixel has one of several classes. binary: object or background. "
        "multilabel: a pixel may have several classes, or none. Unset: as dataset.json or the "
        "run's options.json says.",
        choices=("multiclass", *WITH_THRESHOLD),
    )
    threshold: tuple[float, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Probability above which a class is predicted, one number for all or one for each class, "
        "comma separated; binary and multilabel only. Unset: thresholds.json beside the "
        "checkpoint, else 0.5.",
        convert=float,
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
