"""The options of several processes that train or evaluate together."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class RankOptions(Options):
    """How many processes there are, and how they exchange gradients on CPU and GPU."""

    SECTION = "ranks"

    rank: int = option(
        flags.DEFINE_integer,
        1,
        "Expected number of processes (the reference's name); 1 accepts any number.",
        minimum=1,
    )
    all_reduce_bucket_mb: float = option(
        flags.DEFINE_float,
        16.0,
        "CPU and GPU: size of the messages in which gradients are sent, in MB; each is sent while "
        "the next gradients are computed.",
        above=0.0,
        changeable=True,
    )
    all_reduce_by: str = option(
        flags.DEFINE_string,
        "auto",
        "CPU and GPU: implementation of all-reduce. nccl needs GPUs; auto lets TensorFlow choose.",
        choices=("auto", "ring", "nccl"),
        changeable=True,
    )
    check_weights_steps: int = option(
        flags.DEFINE_integer,
        1000,
        "CPU and GPU: steps between checks that all ranks have bitwise equal weights; 0: none.",
        minimum=0,
        changeable=True,
    )
    join_timeout_secs: float = option(
        flags.DEFINE_float,
        300.0,
        "CPU and GPU: seconds within which all ranks must connect at the start.",
        above=0.0,
        changeable=True,
    )
    rank_timeout_secs: float = option(
        flags.DEFINE_float,
        30.0,
        "CPU and GPU: seconds without a heartbeat after which a rank counts as lost and all ranks "
        "stop.",
        minimum=3.0,
        changeable=True,
    )
