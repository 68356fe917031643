"""What can be wrong with an image and its mask: the kinds that checks and the audit agree on."""

from __future__ import annotations

import dataclasses

UNREADABLE = "unreadable"
CHECKSUM = "checksum"
NO_LABEL = "no_label"
COLORS = "colors"
SIZES = "sizes_differ"
LABELS = "unknown_labels"

# In the order of reports: (what it is called, what to do).
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
        "correct the masks, the number of classes, or what the values mean",
    ),
}


@dataclasses.dataclass(frozen=True)
class Defect:
    """What is wrong with one record.

    Attributes:
      kind: One of KINDS.
      text: In words, without a full stop.
    """

    kind: str
    text: str
