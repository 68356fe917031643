"""Annotation formats, one module each; a module's VARIANTS maps its name to a Source."""

from __future__ import annotations

import dataclasses
from typing import Callable

from utils.classes import ClassSet


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image and its mask.

    Attributes:
      name: What the record and results are called; unique in its split.
      image: Path of the image.
      mask: Path of the mask, or a `DrawnMask`; None where a test split has none.
    """

    name: str
    image: str
    mask: object


class DrawnMask:
    """A mask that is no file but made of annotations.

    Attributes:
      name: What messages call it.
    """

    name: str

    def draw(self):
        """Returns the mask values, integers [h, w]; raises BadFileError where it cannot."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Found:
    """What a format found.

    Attributes:
      splits: Split -> list of samples, in the order of the records.
      origin: What it was found in: name of a flag -> value. A conversion of something else may not
        replace its records.
      classes: The classes that the data have by themselves; None where the user must say.
    """

    splits: dict
    origin: dict
    classes: ClassSet | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A format that can be converted.

    Attributes:
      find: From (ConvertOptions, names of the flags that were given) to `Found`. Raises UserError
        where something is missing.
      flags: The flags that say where the format's files are and how they are meant. Any other flag
        is refused, but for those that every format takes.
      num_shards: Files per split where --num_shards is not given.
    """

    find: Callable
    flags: tuple[str, ...]
    num_shards: int = 4


# What says which classes masks hold; of formats whose masks are the user's own.
CLASS_FLAGS = ("num_classes", "ignore_label", "class_table", "mask_values", "reduce_zero_label")
