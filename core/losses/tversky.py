"""Tversky loss: false positives and false negatives with weights of their own."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, regions
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    over: str = "batch",
) -> tf.Tensor:
    """Returns the mean of 1 - (TP + s) / (TP + alpha FP + beta FN + s) over classes, a scalar.

    TP = sum yp, FP = sum p - TP, FN = sum y - TP. alpha = beta = 0.5 is Dice (with half the
    smoothing), alpha = beta = 1 Jaccard.

    Source: Salehi et al., arXiv 1706.05721, equation 3.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      alpha: Weight of false positives, >= 0.
      beta: Weight of false negatives, >= 0; above alpha it favours recall.
      smooth: s in pixels, >= 0.
      over: "batch" or "image": what is summed over.
    """
    region = regions.sums(logits, targets, context, over)
    wrong = alpha * (region.predicted - region.both) + beta * (region.labelled - region.both)
    overlap = regions.ratio(region.both + smooth, region.both + wrong + smooth)
    return regions.mean(1.0 - overlap, region, targets, context)


VARIANTS = {
    "tversky": Loss(
        build=build,
        parameters={
            "alpha": Parameter(0.3, minimum=0.0),
            "beta": Parameter(0.7, minimum=0.0),
            "smooth": regions.SMOOTH,
            "over": regions.OVER,
        },
    )
}
