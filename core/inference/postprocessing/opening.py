"""`opening=N`: removes what no disk of radius N fits into, such as thin lines and specks."""

from __future__ import annotations

from core.inference.postprocessing import Step, disks


def _apply(mask, number):
    return disks.dilated(disks.eroded(mask, number), number)


VARIANTS = {"opening": Step(_apply, takes_number=True)}
