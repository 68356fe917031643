"""Losses, one file per loss: what a file's VARIANTS name is a value of --loss.

A loss gets the logits and the targets of one output of the network;
`core/losses/objective.py` chooses it and sums over all supervised outputs.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

from options.loss import LossOptions
from utils.compat import tf


@dataclasses.dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
      build: Function (logits, targets, context) -> float32 scalar. Logits are float32
        [N, h, w, channels] of any size, which the loss resizes to the targets, a
        `core.task.Targets`; `context` is a `Context`. An output without any target
        that counts has loss zero.
      tasks: Names of the tasks that it can train.
      reason: Why it cannot train others, for the message that refuses them.
    """

    build: Callable
    tasks: tuple
    reason: str


@dataclasses.dataclass(frozen=True)
class Context:
    """What a loss may depend on besides logits and targets.

    Attributes:
      options: The options of the loss.
      global_step: Steps done so far, an integer scalar; None where no option depends on it.
      average: Function from a list of tensors to the list of their means over all ranks; None for
        one rank.
      align_corners: How logits and labels are resized, as in `layers.resize_bilinear`.
    """

    options: LossOptions = dataclasses.field(default_factory=LossOptions)
    global_step: tf.Tensor | None = None
    average: Callable | None = None
    align_corners: bool = True
