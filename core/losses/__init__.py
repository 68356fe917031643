"""Losses, one file per loss: what a file's VARIANTS name can stand in --loss.

A loss gets the logits and the targets of one output of the network, and its parameters by name.
`core/losses/objective.py` reads the expression and sums over all supervised outputs. Beside our
forms, `musket.py` and `keras.py` hold the exact ones of two other systems.

What ranks compute: a loss that is a mean over targets or images divides by their mean number over
the ranks, so the mean over ranks is the loss of all their images. A loss of regions sums over the
images of one rank (`over=batch`): its mean over ranks is the mean of the ranks' losses, not that of
all images together; with `over=image` it is exact.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, NamedTuple

from options.loss import LossOptions
from utils.compat import tf


class Parameter(NamedTuple):
    """A parameter of a loss, in an expression `loss(name=value)`.

    Attributes:
      default: The default, a number or a word; an integer takes integers only.
      minimum: Smallest allowed number.
      maximum: Largest allowed number.
      choices: The allowed words.
      tasks: The tasks in which it has an effect; None: all of the loss.
    """

    default: float | int | str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple | None = None
    tasks: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
      build: Function (logits, targets, context, **parameters) -> float32 scalar. Logits are float32
        [N, h, w, channels] of any size, which the loss resizes to the targets, a
        `core.task.Targets`; `context` is a `Context`. An output without any target
        that counts has loss zero.
      tasks: Names of the tasks that it can train.
      reason: Why it cannot train others, for the message that refuses them.
      parameters: Name -> `Parameter`.
      mines: Whether it is a mean over targets, of which hard example mining takes the hardest.
    """

    build: Callable
    tasks: tuple = ("multiclass", "binary", "multilabel")
    reason: str = ""
    parameters: dict = dataclasses.field(default_factory=dict)
    mines: bool = False


@dataclasses.dataclass(frozen=True)
class Context:
    """What a loss may depend on besides logits and targets.

    Attributes:
      options: The options of the loss.
      global_step: Steps done so far, an integer scalar; None where no option depends on it.
      average: Function from a list of tensors to the list of their means over all ranks; None for
        one rank.
      align_corners: How logits and labels are resized, as in `layers.resize_bilinear`.
      first_size: Height and width of the logits of the network's first output.
    """

    options: LossOptions = dataclasses.field(default_factory=LossOptions)
    global_step: tf.Tensor | None = None
    average: Callable | None = None
    align_corners: bool = True
    first_size: tuple | None = None
