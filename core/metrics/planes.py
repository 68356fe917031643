"""Counts by image and channel: what the scores of labels by threshold are made of."""

from __future__ import annotations

from core.metrics import Pixels
from core.task import Task
from utils.compat import tf


def counted_of(pixels: Pixels) -> tf.Tensor:
    """Returns which pixels count, bool [N, h, w, 1 or channels]."""
    counted = pixels.counted
    return counted[..., tf.newaxis] if counted.shape.ndims == 3 else counted


def count(pixels: Pixels, predictions, task: Task, num_classes: int) -> tf.Tensor:
    """Returns int32 [N, 4, channels]: hits, labelled, predicted and counted pixels.

    Args:
      pixels: The labels.
      predictions: The predicted labels.
      task: The task.
      num_classes: Number of classes.
    """
    labels, predicted = (task.planes(ids, num_classes) for ids in (pixels.labels, predictions))
    counted = counted_of(pixels)
    planes = (labels & predicted, labels, predicted, tf.ones_like(labels))
    sums = [tf.reduce_sum(tf.cast(plane & counted, tf.int32), axis=[1, 2]) for plane in planes]
    return tf.stack(sums, axis=1)
