"""Finds near duplicates: images saved again or resized, or neighbouring frames of a video.

The difference hash (dHash) of an image is 64 bits: whether each of 9x8 grey cells is darker than
the next one in its row. It survives other sizes, qualities and brightness. The hashes of near
duplicates differ in few bits.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

BITS = 64
_COLUMNS, _ROWS = 9, 8
_BOX = getattr(Image, "Resampling", Image).BOX


def difference_hash(image: Image.Image) -> int:
    """Returns the 64 bits of an image of any mode; 0 for an image of one colour."""
    cells = np.asarray(image.convert("L").resize((_COLUMNS, _ROWS), _BOX), np.int16)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def pairs(first: list, second: list, most: int) -> list:
    """Returns the pairs of hashes of two lists that differ in few bits.

    The bits are cut into one part more than bits may differ: pairs that differ in no more bits have
    an equal part, so only those are compared.

    Args:
      first: Hashes; 0 has no information and is left out.
      second: The same.
      most: The number of bits that may differ.

    Returns:
      Sorted (place in `first`, place in `second`, number of bits that differ).
    """
    ones, others = (np.array(hashes, np.uint64) for hashes in (first, second))
    if not ones.size or not others.size:
        return []
    bounds = np.linspace(0, BITS, most + 2).astype(int)
    found = {}
    for low, high in zip(bounds[:-1], bounds[1:]):
        for here, there in _with_equal_parts(ones, others, low, high - low):
            differing = _count_bits(ones[here] ^ others[there])
            for place in np.flatnonzero(differing <= most):
                if ones[here[place]] and others[there]:
                    found[int(here[place]), int(there)] = int(differing[place])
    return sorted((*pair, differing) for pair, differing in found.items())


def _with_equal_parts(ones: np.ndarray, others: np.ndarray, low: int, width: int):
    """Yields (places in `ones`, place in `others`) whose bits from `low` on are the same."""
    mask = np.uint64((1 << width) - 1)
    keys, wanted = ((values >> np.uint64(low)) & mask for values in (ones, others))
    order = np.argsort(keys, kind="mergesort")
    begin, end = (np.searchsorted(keys[order], wanted, side) for side in ("left", "right"))
    for place in np.flatnonzero(end > begin):
        yield order[begin[place] : end[place]], place


def _count_bits(values: np.ndarray) -> np.ndarray:
    """Returns the number of ones in each uint64."""
    return np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)
