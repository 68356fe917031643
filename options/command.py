"""The options of train_npu.py and eval.py themselves."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class CommandOptions(Options):
    """Training or evaluation, and how much is logged."""

    SECTION = "command"

    mode: str = option(
        flags.DEFINE_string,
        "train",
        "train_npu.py: whether to train or to evaluate.",
        choices=("train", "evaluate"),
        changeable=True,
    )
    debug: bool = option(
        flags.DEFINE_bool, True, "Log notices as well as warnings.", changeable=True
    )
