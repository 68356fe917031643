"""`closing=N`: fills gaps that no disk of radius N fits into, such as cracks and small holes."""

from __future__ import annotations

from core.inference.postprocessing import Step, disks


def _apply(mask, number):
    return disks.eroded(disks.dilated(mask, number), number)


VARIANTS = {"closing": Step(_apply, takes_number=True)}
