"""Dilation and erosion by a disk: all pixels whose centres are at most a radius away.

Both come from the Euclidean distance transform, so they take the same time for every radius. What
lies outside of the image is unknown: it neither makes objects grow nor eats them, which keeps an
opening inside of the mask, a closing around it, and both idempotent up to the border.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """Returns the pixels within a radius of the mask, bool [h, w]."""
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask) <= radius


def eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """Returns the pixels of the mask without any other pixel within a radius, bool [h, w]."""
    return ~dilated(~mask, radius)
