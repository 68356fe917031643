"""Jaccard loss: one minus intersection over union of label and probability, smoothed."""

from __future__ import annotations

from core.losses import Context, Loss, regions
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    smooth: float = 1.0,
    over: str = "batch",
) -> tf.Tensor:
    """Returns the mean of 1 - (I + s) / (U + s) over classes, a float32 scalar.

    I = sum yp, U = sum y + sum p - I. Without smoothing an absent class that is not predicted at
    all costs nothing, and one that is costs 1 without a gradient.

    Source: Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
    Segmentation", ISVC 2016, equations 2 to 4, with s = 0.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      smooth: s in pixels, >= 0.
      over: "batch" or "image": what is summed over.
    """
    region = regions.sums(logits, targets, context, over)
    union = region.labelled + region.predicted - region.both
    overlap = regions.ratio(region.both + smooth, union + smooth)
    return regions.mean(1.0 - overlap, region, targets, context)


VARIANTS = {
    "jaccard": Loss(build=build, parameters={"smooth": regions.SMOOTH, "over": regions.OVER})
}
