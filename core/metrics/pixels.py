"""Which pixels of a batch count, and which have a label that no class has."""

from __future__ import annotations

from typing import NamedTuple

from core.metrics import Pixels
from core.task import Task
from utils.classes import ClassSet
from utils.compat import tf


class Bad(NamedTuple):
    """Labels that are neither a class nor ignored.

    Attributes:
      pixels: int32 [N], how many an image has.
      label: int32 [N], the largest of them, 0 where there is none.
    """

    pixels: tf.Tensor
    label: tf.Tensor


def of_batch(batch: dict, task: Task, classes: ClassSet) -> tuple:
    """Returns the `Pixels` and the `Bad` labels of a batch.

    Args:
      batch: label, height, width, and valid: 0 for an image that only fills up the batch.
      task: The task.
      classes: The classes.
    """
    labels = task.squeeze(batch["label"])
    inside = _inside(labels, batch["height"], batch["width"], batch["valid"])
    labelled = inside & tf.logical_not(task.is_ignored(labels, classes))
    is_label = task.is_label(labels, classes)
    bad = labelled & tf.logical_not(is_label)
    axes = list(range(1, labels.shape.ndims))
    return (
        Pixels(labels, labelled & is_label, batch["height"], batch["width"]),
        Bad(
            pixels=tf.reduce_sum(tf.cast(bad, tf.int32), axis=axes),
            label=tf.reduce_max(tf.where(bad, labels, tf.zeros_like(labels)), axis=axes),
        ),
    )


def _inside(labels, heights, widths, valid):
    """Returns whether a pixel belongs to an image that counts, broadcastable to the labels."""
    shape = tf.shape(labels)
    rows = tf.range(shape[1])[tf.newaxis, :, tf.newaxis] < heights[:, tf.newaxis, tf.newaxis]
    columns = tf.range(shape[2])[tf.newaxis, tf.newaxis, :] < widths[:, tf.newaxis, tf.newaxis]
    inside = tf.logical_and(
        tf.logical_and(rows, columns), tf.cast(valid, tf.bool)[:, tf.newaxis, tf.newaxis]
    )
    return inside[..., tf.newaxis] if labels.shape.ndims == 4 else inside
