"""`min_object=N`: removes objects of fewer than N pixels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from core.inference.postprocessing import EIGHT, Step


def _apply(mask, number):
    objects, _ = ndimage.label(mask, EIGHT)
    stays = np.bincount(objects.ravel()) >= number
    stays[0] = False
    return stays[objects]


VARIANTS = {"min_object": Step(_apply, takes_number=True)}
