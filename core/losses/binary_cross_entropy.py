"""Sigmoid cross entropy of every channel by itself."""

from __future__ import annotations

from core import layers
from core.losses import Context, Loss, pixelwise
from core.task import Targets
from utils.compat import tf


def build(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean weighted binary cross entropy of the targets that count, a float32 scalar.

    Args:
      logits: float32 [N, h, w, channels].
      targets: Of a task with one target, 0 or 1, per channel.
      context: See `Context`.
    """
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=targets.values(),
        logits=layers.resize_bilinear(
            logits, layers.spatial_size(targets.labels), context.align_corners
        ),
    )
    return pixelwise.mean(losses, targets, context)


VARIANTS = {
    "binary_cross_entropy": Loss(
        build=build,
        tasks=("binary", "multilabel"),
        reason="it scores each channel as a yes or no of its own",
    )
}
