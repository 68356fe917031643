"""Softmax cross entropy of classes that exclude each other."""

from __future__ import annotations

import functools

from core import layers
from core.losses import Context, Loss, pixelwise
from core.task import Targets
from utils.compat import tf


def build(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean weighted cross entropy of the pixels that count, a float32 scalar.

    A label that is neither a class nor the ignore label has loss zero and counts, and its gradient
    pushes all logits towards zero, as with the one-hot labels of the DeepLab family. With class
    weights it has no gradient.

    Args:
      logits: float32 [N, h, w, classes].
      targets: Of a task whose classes exclude each other.
      context: See `Context`.
    """
    size = layers.spatial_size(targets.labels)
    resize = functools.partial(layers.resize_bilinear, align_corners=context.align_corners)
    num_classes = logits.shape.as_list()[3]
    labels = tf.reshape(targets.labels, [-1])
    is_class = tf.logical_and(labels >= 0, labels < num_classes)
    # One-hot labels would need as much memory as the logits. Labels that are no class are looked
    # up as class 0 and corrected in the sum; the ignored ones get weight 0.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(is_class, labels, tf.zeros_like(labels)),
        logits=tf.reshape(resize(logits, size), [-1, num_classes]),
    )
    # Where the label is no class, the gradient becomes that of the log partition function, the
    # softmax, and the value zero. One channel is resized again because slicing the resized logits
    # would cost a gradient of their full size.
    other = 1.0 - tf.cast(is_class, tf.float32)
    losses += other * tf.reshape(resize(logits[..., :1], size), [-1])
    losses -= tf.stop_gradient(other * losses)
    return pixelwise.mean(losses, targets, context)


VARIANTS = {
    "cross_entropy": Loss(
        build=build,
        tasks=("multiclass",),
        reason="it compares classes that exclude each other",
    )
}
