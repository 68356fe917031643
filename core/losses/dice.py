"""Dice loss: one minus the overlap of label and probability over their mean size."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, regions
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    smooth: float = 1.0,
    squared: str = "false",
    over: str = "batch",
) -> tf.Tensor:
    """Returns the mean of 1 - (2 sum yp + s) / (sum y + sum p + s) over classes, a float32 scalar.

    Source: Milletari et al., "V-Net", arXiv 1606.04797, section 3, with squared=true (there without
    smoothing); the linear form is that of Sudre et al., arXiv 1707.03237.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      smooth: s in pixels, >= 0; the larger, the less a few wrong pixels of a small object cost.
      squared: "true": sum p^2 instead of sum p.
      over: "batch" or "image": what is summed over.
    """
    region = regions.sums(logits, targets, context, over, squared == "true")
    overlap = regions.ratio(2.0 * region.both + smooth, region.labelled + region.predicted + smooth)
    return regions.mean(1.0 - overlap, region, targets, context)


VARIANTS = {
    "dice": Loss(
        build=build,
        parameters={
            "smooth": regions.SMOOTH,
            "squared": Parameter("false", choices=("true", "false")),
            "over": regions.OVER,
        },
    )
}
