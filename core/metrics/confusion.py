"""One streaming confusion matrix, and everything that is read off it.

The device counts one small matrix per image; the host adds them up in int64, so that no data set
is too large to be counted exactly. Rows are labels, columns are predictions. Ignored pixels,
padding and padding samples are in no cell.

A class that appears neither in labels nor in predictions has no IoU (None): it is left out of the
mean. A class that is only predicted has IoU 0 and counts.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from utils.compat import tf


class Counts(NamedTuple):
    """What a batch adds, as tensors; one entry per image.

    Attributes:
      confusion: int32 [N, classes, classes].
      counted: bool [N, h, w], the pixels in it.
      bad_pixels: int32 [N], pixels whose label is neither a class nor the ignore label.
      bad_label: int32 [N], the largest such label, 0 where there is none.
    """

    confusion: tf.Tensor
    counted: tf.Tensor
    bad_pixels: tf.Tensor
    bad_label: tf.Tensor


def count(
    labels: tf.Tensor,
    predictions: tf.Tensor,
    *,
    num_classes: int,
    ignore_label: int,
    heights: tf.Tensor,
    widths: tf.Tensor,
    valid: tf.Tensor,
) -> Counts:
    """Counts the pixels of a batch by label and prediction, exactly.

    Args:
      labels: int32 [N, h, w].
      predictions: int32 [N, h, w], 0 to num_classes - 1.
      num_classes: Number of classes.
      ignore_label: Label of pixels that do not count.
      heights: int32 [N], rows of each image; those below are padding.
      widths: int32 [N], columns of each image; those to the right are padding.
      valid: [N], 0 for an image that only fills up the batch.
    """
    inside = _inside(labels, heights, widths, valid)
    labelled = inside & tf.not_equal(labels, ignore_label)
    is_class = (labels >= 0) & (labels < num_classes)
    bad = labelled & tf.logical_not(is_class)
    return Counts(
        confusion=_confusion(labels, predictions, labelled & is_class, num_classes),
        counted=labelled & is_class,
        bad_pixels=tf.reduce_sum(tf.cast(bad, tf.int32), axis=[1, 2]),
        bad_label=tf.reduce_max(tf.where(bad, labels, tf.zeros_like(labels)), axis=[1, 2]),
    )


def _inside(labels, heights, widths, valid):
    """Returns bool [N, h, w]: whether a pixel belongs to an image that counts."""
    shape = tf.shape(labels)
    rows = tf.range(shape[1])[tf.newaxis, :, tf.newaxis] < heights[:, tf.newaxis, tf.newaxis]
    columns = tf.range(shape[2])[tf.newaxis, tf.newaxis, :] < widths[:, tf.newaxis, tf.newaxis]
    return tf.logical_and(
        tf.logical_and(rows, columns), tf.cast(valid, tf.bool)[:, tf.newaxis, tf.newaxis]
    )


def _confusion(labels, predictions, counted, num_classes):
    """Returns int32 [N, classes, classes] over the pixels that count."""
    cells = num_classes * num_classes
    images = tf.shape(labels)[0]
    image = tf.range(images)[:, tf.newaxis, tf.newaxis]
    index = image * cells + labels * num_classes + predictions
    # Everything else goes to one cell behind the last, which is cut off: shapes stay static, as
    # devices want them. The counts are integers; float32 would be exact up to 2^24 pixels only.
    total = images * cells
    index = tf.where(counted, index, tf.zeros_like(index) + total)
    counts = tf.math.bincount(
        tf.reshape(index, [-1]), minlength=total + 1, maxlength=total + 1, dtype=tf.int32
    )
    return tf.reshape(counts[:-1], [images, num_classes, num_classes])


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """The scores of each class, lists by class id; None where a score is not defined.

    Attributes:
      iou: Intersection over union.
      precision: Share of the predicted pixels that are right.
      recall: Share of the labelled pixels that are found; the accuracy of the class.
      f1: Harmonic mean of both.
      labelled: Pixels with that label.
      predicted: Pixels with that prediction.
    """

    iou: list
    precision: list
    recall: list
    f1: list
    labelled: list
    predicted: list


def class_scores(confusion) -> ClassScores:
    """Returns the scores of each class.

    Args:
      confusion: Integers [classes, classes], rows are labels.
    """
    hits, labelled, predicted = _marginals(confusion)
    return ClassScores(
        iou=iou_per_class(confusion),
        precision=ratios(hits, predicted),
        recall=ratios(hits, labelled),
        f1=ratios(2 * hits, labelled + predicted),
        labelled=labelled.tolist(),
        predicted=predicted.tolist(),
    )


def iou_per_class(confusion) -> list:
    """Returns the IoU of each row of [classes, classes], None for a class without any pixel."""
    hits, labelled, predicted = _marginals(confusion)
    return ratios(hits, labelled + predicted - hits)


def mean_iou(confusion) -> float | None:
    """Returns the mean IoU over classes with a nonzero union, None without any pixel.

    Args:
      confusion: Integers [classes, classes], rows are labels, as in all functions here.

    Source: TensorFlow's `tf.metrics.mean_iou`, which answers 0 for no pixel at all.
    """
    return mean_of_known(iou_per_class(confusion))


def pixel_accuracy(confusion) -> float | None:
    """Returns the share of pixels that are right, None without any pixel."""
    hits, labelled, _ = _marginals(confusion)
    return ratios(hits.sum(keepdims=True), labelled.sum(keepdims=True))[0]


def mean_accuracy(confusion) -> float | None:
    """Returns the mean recall over the classes that are labelled, None without any pixel."""
    hits, labelled, _ = _marginals(confusion)
    return mean_of_known(ratios(hits, labelled))


def frequency_weighted_iou(confusion) -> float | None:
    """Returns the IoU weighted by how often a class is labelled, None without any pixel."""
    hits, labelled, predicted = _marginals(confusion)
    if not labelled.sum():
        return None
    union = labelled + predicted - hits
    # A class without a union has no weight either.
    iou = hits / np.maximum(union, 1)
    return float((labelled * iou).sum() / labelled.sum())


def _marginals(confusion):
    """Returns (hits, labelled, predicted) pixels by class, int64."""
    confusion = np.asarray(confusion, np.int64)
    return np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)


def ratios(numerators, denominators) -> list:
    """Returns the quotients as numbers, None where the denominator is zero."""
    return [
        float(numerator) / float(denominator) if denominator else None
        for numerator, denominator in zip(numerators, denominators)
    ]


def mean_of_known(values) -> float | None:
    """Returns the mean of the values that are not None, None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
