"""The options of the task: what the classes of the data mean."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


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
        choices=("multiclass", "binary", "multilabel"),
    )
    threshold: float = option(
        flags.DEFINE_float,
        0.5,
        "Probability above which a class is predicted; binary and multilabel only.",
        minimum=0.0,
        maximum=1.0,
    )
