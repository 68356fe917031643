"""Weights of other frameworks and systems: their names and arrays as those of this project.

A source is one file that offers its record in a dict VARIANTS, under a value of `--source`. The
variables of a network have the names of the original's layers, so that a source is a rule for the
scopes and last parts of names, not a table.
"""

from __future__ import annotations

import dataclasses
from typing import Callable


@dataclasses.dataclass(frozen=True)
class Network:
    """The network that weights are converted for.

    Attributes:
      shapes: Variable name -> shape.
      backbone: Scope of the backbone.
      classifiers: Scopes of the layers with one filter for each channel, the main one first.
      variant: Value of `--model_variant`.
    """

    shapes: dict
    backbone: str
    classifiers: tuple
    variant: str


@dataclasses.dataclass(frozen=True)
class Source:
    """Where weights come from.

    Attributes:
      description: What is read, for messages.
      fits: path -> whether a file, or the prefix of a checkpoint, is of this kind by its content.
      convert: `convert(path, network)` returns (variable name -> array as the variable has it,
        names of the arrays that no variable used). Arrays of a classifier may have another number
        of channels than the network.
    """

    description: str
    fits: Callable
    convert: Callable
