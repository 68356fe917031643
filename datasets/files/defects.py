"""Defects of images and masks: the kinds that checks and the audit share."""

from __future__ import annotations

import dataclasses

from utils.errors import BadImageError

UNREADABLE = "unreadable"
CHECKSUM = "checksum"
NO_LABEL = "no_label"
COLORS = "colors"
SIZES = "sizes_differ"
LABELS = "unknown_labels"

# In the order of reports: kind -> (its title, what to do).
KINDS = {
    UNREADABLE: ("unreadable or truncated", "copy these files again, or leave them out"),
    CHECKSUM: ("wrong checksum", "copy these shards again, or convert the data again"),
    NO_LABEL: ("no label", "training needs one for every image"),
    COLORS: (
        "colours in place of class numbers",
        "pass a --class_table with the colour of each class, and convert the data (again)",
    ),
    SIZES: ("image and mask differ in size", "a mask must have the size of its image"),
    LABELS: (
        "labels outside of the class table",
        "correct the masks, the number of classes, or the meaning of the values",
    ),
}


@dataclasses.dataclass(frozen=True)
class Defect:
    """A defect of one record.

    Attributes:
      kind: One of KINDS.
      text: A sentence without a full stop.
    """

    kind: str
    text: str


class BadFileError(BadImageError):
    """A file cannot be used; the message says why, and begins with its path.

    Attributes:
      kind: One of KINDS.
      labels: The labels of a mask that can be read but not used, -1 where there is none: integers
        [h, w]; None for other files.
    """

    def __init__(self, message: str, kind: str = UNREADABLE, labels=None):
        """Takes the sentence and the attributes."""
        super().__init__(message)
        self.kind = kind
        self.labels = labels
