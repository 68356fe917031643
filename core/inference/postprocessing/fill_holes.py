"""`fill_holes`: fills what an object encloses; what touches the border of the image is no hole."""

from __future__ import annotations

from scipy import ndimage

from core.inference.postprocessing import Step


def _apply(mask, unused_number):
    return ndimage.binary_fill_holes(mask)


VARIANTS = {"fill_holes": Step(_apply)}
