"""Annotation formats, one module each; a module's VARIANTS maps its name to a Source."""

from __future__ import annotations

import dataclasses
from typing import Callable

from datasets.class_table import ClassTable


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image and its mask, as files.

    Attributes:
      name: What the record and results are called; unique in its split.
      image: Path of the image.
      mask: Path of the mask; None where a test split has none.
    """

    name: str
    image: str
    mask: str | None


@dataclasses.dataclass(frozen=True)
class Source:
    """A format that can be converted.

    Attributes:
      find: From (ConvertOptions, names of the flags that were given) to split -> list of samples,
        in the order of the records. Raises UserError where something is missing.
      classes: The format's own classes; None where the user must say.
    """

    find: Callable
    classes: ClassTable | None = None
