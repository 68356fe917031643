"""Softmax cross entropy of classes that exclude each other."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, entropies, pixelwise
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tf.Tensor:
    """Returns the mean weighted cross entropy of the pixels that count, a float32 scalar.

    With label smoothing s it is (1 - s) x cross entropy + s x the mean of -log p over all classes
    (Szegedy et al., arXiv 1512.00567, section 7). A label that is neither a class nor the ignore
    label has loss zero and counts; see `entropies.softmax`. With class weights it has no gradient.

    Args:
      logits: float32 [N, h, w, classes].
      targets: Of a task whose classes exclude each other.
      context: See `Context`.
      label_smoothing: From 0 to 1.
      reduction: See `pixelwise.mean`.
    """
    losses = entropies.softmax(logits, targets, context, label_smoothing)
    return pixelwise.mean(losses, targets, context, reduction)


VARIANTS = {
    "cross_entropy": Loss(
        build=build,
        tasks=("multiclass",),
        reason="it compares classes that exclude each other",
        parameters={
            "label_smoothing": Parameter(0.0, minimum=0.0, maximum=1.0),
            "reduction": pixelwise.REDUCTION,
        },
        mines=True,
    )
}
