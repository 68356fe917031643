"""The cross entropy of each target, which several losses are made of."""

from __future__ import annotations

import functools

from core import layers
from core.losses import Context, pixelwise
from core.task import Targets
from utils.compat import tf


def of_task(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the cross entropy of each target, float32 [N, h, w, channels of the labels].

    Softmax where classes exclude each other, sigmoid else.

    Args:
      logits: float32 [N, h, w, channels] of any size.
      targets: The targets.
      context: See `Context`.
    """
    if not targets.task.sums_to_one:
        return sigmoid(logits, targets, context)
    flat = softmax(logits, targets, context)
    return tf.reshape(flat, [-1, *targets.labels.shape.as_list()[1:]])


def sigmoid(
    logits: tf.Tensor, targets: Targets, context: Context, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Returns the sigmoid cross entropies, float32 [N, h, w, channels].

    Args:
      logits: float32 [N, h, w, channels] of any size.
      targets: Of a task with one target, 0 or 1, per channel.
      context: See `Context`.
      label_smoothing: How much both targets are drawn to 0.5, from 0 to 1.
    """
    values = targets.values() * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return tf.nn.sigmoid_cross_entropy_with_logits(
        labels=values, logits=pixelwise.resized(logits, targets, context)
    )


def softmax(
    logits: tf.Tensor, targets: Targets, context: Context, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Returns the softmax cross entropies, float32 [pixels of the batch].

    A label that is neither a class nor the ignore label has loss zero, and its gradient pushes all
    logits towards zero, as with the one-hot labels of the DeepLab family.

    Args:
      logits: float32 [N, h, w, classes] of any size.
      targets: Of a task whose classes exclude each other.
      context: See `Context`.
      label_smoothing: Share of a target that all classes divide, from 0 to 1.
    """
    size = layers.spatial_size(targets.labels)
    resize = functools.partial(layers.resize_bilinear, align_corners=context.align_corners)
    num_classes = logits.shape.as_list()[3]
    labels = tf.reshape(targets.labels, [-1])
    is_class = tf.logical_and(labels >= 0, labels < num_classes)
    pixels = tf.reshape(resize(logits, size), [-1, num_classes])
    # One-hot labels would need as much memory as the logits. Labels that are no class are looked
    # up as class 0 and corrected in the sum; the ignored ones get weight 0.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(is_class, labels, tf.zeros_like(labels)), logits=pixels
    )
    # Where the label is no class, the gradient becomes that of the log partition function, the
    # softmax, and the value zero. One channel is resized again because slicing the resized logits
    # would cost a gradient of their full size.
    other = 1.0 - tf.cast(is_class, tf.float32)
    losses += other * tf.reshape(resize(logits[..., :1], size), [-1])
    losses -= tf.stop_gradient(other * losses)
    if label_smoothing:
        uniform = -tf.reduce_mean(tf.nn.log_softmax(pixels), axis=1)
        losses += label_smoothing * (1.0 - other) * (uniform - losses)
    return losses
