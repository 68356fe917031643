"""Focal loss: cross entropy that well-classified targets hardly add to."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, entropies, pixelwise
from core.task import Targets
from utils.compat import tf

# Below, 1 - p is taken as this, since the slope of a power below 1 has no bound at zero.
_SMALLEST = 1e-7


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> tf.Tensor:
    """Returns the mean of -a (1 - p)^gamma log p over the targets that count, a float32 scalar.

    p is the probability of what the label says. In binary and multi-label tasks a is alpha for an
    object and 1 - alpha for its absence; classes that exclude each other have class weights
    instead, and a is 1.

    Source: Lin et al., arXiv 1708.02002, equation 5; there the sum is divided by the number of
    objects' anchors, here by the number of targets.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      gamma: How fast the loss of likely targets falls, >= 0; 0 is the cross entropy.
      alpha: Weight of an object, from 0 to 1.
    """
    losses = entropies.of_task(logits, targets, context)
    missing = tf.maximum(1.0 - tf.exp(-losses), _SMALLEST)
    losses *= tf.pow(missing, gamma)
    if not targets.task.sums_to_one:
        values = targets.values()
        losses *= alpha * values + (1.0 - alpha) * (1.0 - values)
    return pixelwise.mean(losses, targets, context)


VARIANTS = {
    "focal": Loss(
        build=build,
        parameters={
            "gamma": Parameter(2.0, minimum=0.0),
            "alpha": Parameter(0.25, minimum=0.0, maximum=1.0, tasks=("binary", "multilabel")),
        },
        mines=True,
    )
}
