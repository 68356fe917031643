"""Colours of masks -> labels, by a table of all 24-bit colours."""

from __future__ import annotations

import numpy as np


def pack(colors) -> np.ndarray:
    """Returns colours [..., 3] as 24-bit numbers, int32 [...]."""
    red, green, blue = np.moveaxis(np.asarray(colors).astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def unpack(value: int) -> tuple:
    """Returns the red, green and blue of a 24-bit number."""
    return value >> 16, value >> 8 & 255, value & 255


def table(label_of: dict) -> np.ndarray:
    """Returns the label of each 24-bit colour, -1 where it has none: int16 [2 ** 24].

    It takes 32 MiB.

    Args:
      label_of: (red, green, blue) -> label.
    """
    labels = np.full(1 << 24, -1, np.int16)
    for color, label in label_of.items():
        labels[pack(color)] = label
    return labels
