"""`largest_object`: keeps the object with the most pixels; of equal ones the first by rows."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from core.inference.postprocessing import EIGHT, Step


def _apply(mask, unused_number):
    objects, _ = ndimage.label(mask, EIGHT)
    return objects == np.bincount(objects.ravel())[1:].argmax() + 1


VARIANTS = {"largest_object": Step(_apply)}
