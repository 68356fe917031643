"""Annotation formats, one module each; a module's VARIANTS maps its name to a `Format`."""

from __future__ import annotations

import dataclasses
from typing import Callable

from utils.classes import BINARY, MULTICLASS, ClassSet


@dataclasses.dataclass(frozen=True)
class Listing:
    """The samples that a format found.

    Attributes:
      splits: Split -> list of `files.pairs.Sample`, in the order of the records.
      origin: Where they were found: name of a flag -> value. A conversion of another origin may not
        replace the records.
      classes: The classes that the format defines; None where the user must name them.
    """

    splits: dict
    origin: dict
    classes: ClassSet | None = None


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that can be converted.

    Attributes:
      find: From a `Config` of CONVERSION_RECORDS to `Listing`. Raises UserError where something is
        missing.
      flags: The flags that it takes besides those of `ConvertOptions`; the others are refused.
      tasks: The tasks that its masks can serve, the default first.
      num_shards: Files per split where --num_shards is not given.
    """

    find: Callable
    flags: tuple[str, ...]
    tasks: tuple[str, ...] = (MULTICLASS, BINARY)
    num_shards: int = 4


# The flags that name classes, for formats whose masks hold the user's own.
CLASS_FLAGS = ("num_classes", "ignore_label", "class_table", "mask_values", "reduce_zero_label")
