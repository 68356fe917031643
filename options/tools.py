"""The options of the tools for checkpoints and machines: checkpoint_tool.py and doctor.py."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class ToolOptions(Options):
    """What to do with which checkpoint."""

    SECTION = "checkpoint"

    checkpoint_path: str | None = option(
        flags.DEFINE_string, None, "Checkpoint, as a prefix such as FOLDER/model.ckpt-1000."
    )
    fit: bool = option(
        flags.DEFINE_bool, False, "Compare it with the network that the network flags describe."
    )
    num_classes: int = option(
        flags.DEFINE_integer, 21, "Classes of that network.", minimum=1, maximum=255
    )
    compact_to: str | None = option(
        flags.DEFINE_string,
        None,
        "Prefix of a copy without optimizer state, kernels in half precision; options.json and "
        "metrics.jsonl go with it.",
    )


@dataclasses.dataclass(frozen=True)
class DoctorOptions(Options):
    """What a run will start from."""

    SECTION = "doctor"

    tf_initial_checkpoint: str | None = option(
        flags.DEFINE_string, None, "Weights that training will start from."
    )
