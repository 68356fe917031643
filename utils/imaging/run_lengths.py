"""Masks as run lengths, in the form of segmentation contests, and in that of COCO.

Pixels are numbered from 1, column by column: down the first column, then down the second. A mask
is the text "start length start length ...", with its runs in ascending order; the text of an empty
mask is empty. CSV files of the TGS salt and Airbus ship challenges use this scheme.

COCO counts the pixels of runs in the same order, of the background and of the object in turn,
background first, as a list or packed into a text.
"""

from __future__ import annotations

import numpy as np


def encode(mask) -> str:
    """Returns the run lengths of a mask.

    Args:
      mask: Booleans [h, w], or numbers, where everything but 0 counts.
    """
    pixels = np.asarray(mask, bool).T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], pixels, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts, ends))


def decode(text: str, height: int, width: int) -> np.ndarray:
    """Returns the mask of run lengths, bool [height, width].

    Args:
      text: Pairs of start, counted from 1 down the columns, and length, separated by spaces.
      height: Rows of the image.
      width: Its columns.

    Raises:
      ValueError: If the text does not consist of pairs of numbers, or a run leaves the image.
    """
    try:
        numbers = np.array(text.split(), np.int64)
    except ValueError:
        raise ValueError(f"run lengths are integers, not {text[:40]!r}.") from None
    if numbers.size % 2:
        raise ValueError(f"run lengths are pairs, but there are {numbers.size} numbers.")
    pixels = np.zeros(height * width, bool)
    for start, length in numbers.reshape(-1, 2):
        if start < 1 or length < 1 or start - 1 + length > pixels.size:
            raise ValueError(
                f"the run {start} {length} is not within an image of {height}x{width} pixels."
            )
        pixels[start - 1 : start - 1 + length] = True
    return pixels.reshape(width, height).T


def of_coco_counts(counts: list, height: int, width: int) -> np.ndarray:
    """Returns the mask of COCO's counts, bool [height, width]; they sum up to its pixels."""
    flags = np.arange(len(counts)) % 2 == 1
    return np.repeat(flags, counts).reshape(width, height).T


def coco_counts(text: str) -> list:
    """Returns the counts in COCO's packed text.

    A character holds five bits of a number, the lowest first, and whether more follow; from the
    fourth number on, it is the difference to the last but one. Source: maskApi.c of the COCO API,
    rleToString.

    Raises:
      ValueError: If the text is something else.
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"the text {text[:20]!r} is damaged")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        if value < 0:
            raise ValueError(f"the text {text[:20]!r} has a negative count")
        counts.append(value)
        value, shift = 0, 0
    if shift:
        raise ValueError(f"the text {text[:20]!r} ends within a number")
    return counts
