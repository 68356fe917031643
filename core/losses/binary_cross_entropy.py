"""Sigmoid cross entropy of every channel by itself."""

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
    """Returns the mean weighted binary cross entropy of the targets that count, a float32 scalar.

    With label smoothing s the targets are y (1 - s) + s / 2 (Szegedy et al., arXiv 1512.00567,
    section 7, for two classes).

    Args:
      logits: float32 [N, h, w, channels].
      targets: Of a task with one target, 0 or 1, per channel.
      context: See `Context`.
      label_smoothing: From 0 to 1.
      reduction: See `pixelwise.mean`.
    """
    losses = entropies.sigmoid(logits, targets, context, label_smoothing)
    return pixelwise.mean(losses, targets, context, reduction)


VARIANTS = {
    "binary_cross_entropy": Loss(
        build=build,
        tasks=("binary", "multilabel"),
        reason="it scores each channel as a yes or no of its own",
        parameters={
            "label_smoothing": Parameter(0.0, minimum=0.0, maximum=1.0),
            "reduction": pixelwise.REDUCTION,
        },
        mines=True,
    )
}
