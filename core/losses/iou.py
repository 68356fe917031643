"""IoU loss: intersection over union as it is measured, without smoothing."""

from __future__ import annotations

import functools

from core.losses import Loss, jaccard, regions

VARIANTS = {
    "iou": Loss(
        build=functools.partial(jaccard.build, smooth=0.0), parameters={"over": regions.OVER}
    )
}
