"""F1 loss: one minus the F-measure of soft counts."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, regions
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    beta: float = 1.0,
    over: str = "batch",
) -> tf.Tensor:
    """Returns the mean over classes of one minus their F-measure, a float32 scalar.

    F = (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP) of the counts TP = sum yp,
    FP = sum p - TP, FN = sum y - TP: the weighted harmonic mean of precision and recall. With
    beta 1 it is Dice without smoothing. An absent class that is predicted costs 1 without a
    gradient.

    Source: Eban et al., "Scalable Learning of Non-Decomposable Objectives", arXiv 1608.04802,
    section 4.2, for the measure; the counts of probabilities are those of Dice.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      beta: Weight of recall against precision, >= 0.
      over: "batch" or "image": what is summed over.
    """
    region = regions.sums(logits, targets, context, over)
    # (1 + b) TP + b FN + FP = b sum y + sum p.
    square = beta * beta
    whole = square * region.labelled + region.predicted
    measure = regions.ratio((1.0 + square) * region.both, whole)
    return regions.mean(1.0 - measure, region, targets, context)


VARIANTS = {
    "f1": Loss(
        build=build,
        parameters={"beta": Parameter(1.0, minimum=0.0), "over": regions.OVER},
    )
}
