"""Boundary quality: boundary IoU and boundary F1 by class.

Sources: boundary IoU, Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation" (arXiv 2103.16562); boundary F1, Csurka et al., "What is a good evaluation measure for
semantic segmentation?" (BMVC 2013).

The width is a share of each image's diagonal, rounded to whole pixels, at least one.

Boundary IoU is the IoU of those pixels of a class that have another class, an ignored pixel or the
image's edge within that distance (the larger of rows and columns); it is summed over the split.

Boundary F1 counts the contour pixels that have a pixel of the other contour of their class within
that distance (Euclidean); contours lie between classes only. It is computed by image and class, and
averaged over the images that have a contour of the class, labelled or predicted.

Ignored pixels are ignored in labels and predictions alike. Independent labels are measured one by
one, each as an object before its background.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.metrics import Column, Measure, Score, mean_of_known, ratios
from utils.compat import tf


class Boundary(Measure):
    """Boundary IoU and boundary F1 of each class; measured with `--boundary_width`."""

    name = "boundary"
    entries = ("boundary",)

    def __init__(self, task, classes, options):
        """Starts at zero."""
        self._is_exclusive = task.is_exclusive
        self._width = options.boundary_width
        # Rows: labelled, predicted, hits; sum of F1, images.
        self.sums = np.zeros([5, classes.count], np.float64)

    @classmethod
    def is_wanted(cls, task, options):
        """Whether boundaries have a width."""
        return options.boundary_width > 0

    def fetches(self, pixels, prediction):
        """Counts by image and class."""
        counted = count if self._is_exclusive else count_labels
        return counted(
            pixels.labels,
            prediction.labels,
            pixels.counted,
            pixels.heights,
            pixels.widths,
            num_classes=self.sums.shape[1],
            width=self._width,
        )

    def add(self, values, index):
        """Adds the regions and the F1 of an image."""
        own = Counts(*(np.asarray(array[index], np.float64) for array in values))
        self.sums[:3] += (own.labelled, own.predicted, own.hits)
        present = (own.label_contour > 0) | (own.predicted_contour > 0)
        recall = own.label_found / np.maximum(own.label_contour, 1)
        precision = own.predicted_right / np.maximum(own.predicted_contour, 1)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        self.sums[3] += np.where(present, f1, 0.0)
        self.sums[4] += present

    def scores(self):
        """Returns the scores by class and their means."""
        return {"boundary": scores(self.sums, self._width)}

    def headlines(self):
        """Returns the means over the classes."""
        found = scores(self.sums, self._width)
        note = f"within {100 * self._width:g} % of the diagonal"
        return (
            Score("boundary_iou", "boundary IoU", found["boundary_iou"], note),
            Score("boundary_f1", "boundary F1", found["boundary_f1"], note),
        )

    def columns(self):
        """Returns the boundary IoU of each class."""
        found = scores(self.sums, self._width)
        return (Column("boundary IoU", found["boundary_iou_per_class"]),)


class Counts(NamedTuple):
    """The counts of a batch, each int32 [N, classes].

    Attributes:
      labelled: Pixels of the label's boundary region.
      predicted: Pixels of the prediction's boundary region.
      hits: Pixels in both.
      label_contour: Contour pixels of the labels.
      label_found: Those near the prediction's contour.
      predicted_contour: Contour pixels of the prediction.
      predicted_right: Those near the labels' contour.
    """

    labelled: tf.Tensor
    predicted: tf.Tensor
    hits: tf.Tensor
    label_contour: tf.Tensor
    label_found: tf.Tensor
    predicted_contour: tf.Tensor
    predicted_right: tf.Tensor


def count(labels, predictions, counted, heights, widths, *, num_classes: int, width: float):
    """Returns the `Counts` of a batch.

    Args:
      labels: int32 [N, h, w].
      predictions: int32 [N, h, w], 0 to num_classes - 1.
      counted: bool [N, h, w], whether a pixel counts.
      heights: int32 [N], rows of each image; those below are padding.
      widths: int32 [N], columns of each image.
      num_classes: Number of classes.
      width: Share of the diagonal.
    """

    def of_image(item):
        label, prediction, known, height, columns = item
        # No class, the same in both maps: ignored pixels here, padding from the image's edge on.
        label = tf.where(known, label, tf.fill(tf.shape(label), num_classes))[:height, :columns]
        prediction = tf.where(known, prediction, tf.fill(tf.shape(known), num_classes))
        prediction = prediction[:height, :columns]
        diagonal = tf.sqrt(tf.cast(height**2 + columns**2, tf.float32))
        distance = tf.maximum(1, tf.cast(tf.round(width * diagonal), tf.int32))
        return _count_image(label, prediction, distance, num_classes)

    items = (labels, predictions, counted, heights, widths)
    return Counts(*tf.map_fn(of_image, items, dtype=tuple([tf.int32] * len(Counts._fields))))


def count_labels(labels, predictions, counted, heights, widths, *, num_classes, width) -> Counts:
    """Returns the `Counts` of independent labels, each as an object before its background.

    Args:
      labels: int32 [N, h, w, classes], 0 or 1.
      predictions: Likewise.
      counted: bool, likewise.
      heights: As for `count`, like the rest.
      widths: Likewise.
      num_classes: Likewise.
      width: Likewise.
    """

    def one_by_one(values):
        values = tf.transpose(values, [0, 3, 1, 2])
        return tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0))

    def repeated(sizes):
        return tf.reshape(tf.tile(sizes[:, tf.newaxis], [1, num_classes]), [-1])

    found = count(
        *map(one_by_one, (labels, predictions, counted)),
        *map(repeated, (heights, widths)),
        num_classes=2,
        width=width,
    )
    # The second of both classes is the object.
    return Counts(*(tf.reshape(values[:, 1], [-1, num_classes]) for values in found))


def _count_image(label, prediction, distance, num_classes):
    near_label, contour = _edges(label, num_classes)
    near_prediction, predicted_contour = _edges(prediction, num_classes)
    near_label = _grown(near_label, distance - 1)
    near_prediction = _grown(near_prediction, distance - 1)
    both = near_label & near_prediction & tf.equal(label, prediction)
    found, right = _matches(
        tf.where(contour, label, tf.fill(tf.shape(label), -1)),
        tf.where(predicted_contour, prediction, tf.fill(tf.shape(label), -1)),
        distance,
    )
    parts = (
        (label, near_label),
        (prediction, near_prediction),
        (label, both),
        (label, contour),
        (label, found),
        (prediction, predicted_contour),
        (prediction, right),
    )
    return tuple(_by_class(ids, mask, num_classes) for ids, mask in parts)


def _by_class(ids, mask, num_classes):
    """Returns int32 [classes], the pixels of a mask by class."""
    ids = tf.where(mask, ids, tf.fill(tf.shape(ids), num_classes))
    size = num_classes + 1
    return tf.math.bincount(tf.reshape(ids, [-1]), minlength=size, maxlength=size)[:-1]


def _edges(ids, num_classes):
    """Returns where a pixel has a different neighbour, and where it has one of another class."""
    padded = tf.pad(ids, [[1, 1], [1, 1]], constant_values=-1)
    shape = tf.shape(ids)
    differs = other_class = tf.zeros_like(ids, tf.bool)
    for row in range(3):
        for column in range(3):
            neighbour = tf.slice(padded, [row, column], shape)
            unlike = tf.not_equal(neighbour, ids)
            differs |= unlike
            other_class |= unlike & (neighbour >= 0) & (neighbour < num_classes)
    return differs, other_class & (ids < num_classes)


def _grown(mask, radius):
    """Returns where a square of the radius holds a pixel of the mask, in time independent of it."""
    for axis in range(2):
        sums = tf.cumsum(tf.cast(mask, tf.int32), axis=axis)
        sums = tf.pad(sums, [[1, 0], [0, 0]] if axis == 0 else [[0, 0], [1, 0]])
        length = tf.shape(mask)[axis]
        last = tf.minimum(tf.range(length) + radius + 1, length)
        first = tf.maximum(tf.range(length) - radius, 0)
        mask = tf.gather(sums, last, axis=axis) > tf.gather(sums, first, axis=axis)
    return mask


def _matches(contour, predicted_contour, distance):
    """Returns the pixels of each contour that have one of the same class in the other near them.

    Args:
      contour: int32 [h, w], class of a contour pixel, -1 elsewhere.
      predicted_contour: The same of the prediction.
      distance: int32, the largest Euclidean distance in pixels.
    """
    shape = tf.shape(contour)
    side = tf.range(-distance, distance + 1)
    rows, columns = tf.meshgrid(side, side, indexing="ij")
    shifts = tf.boolean_mask(tf.stack([rows, columns], axis=2), rows**2 + columns**2 <= distance**2)
    margin = tf.fill([2, 2], distance)
    label_map = tf.pad(contour, margin, constant_values=-1)
    predicted_map = tf.pad(predicted_contour, margin, constant_values=-1)

    def step(number, found, right):
        begin = shifts[number] + distance
        found |= tf.equal(contour, tf.slice(predicted_map, begin, shape))
        right |= tf.equal(predicted_contour, tf.slice(label_map, begin, shape))
        return number + 1, found, right

    nothing = tf.zeros_like(contour, tf.bool)
    _, found, right = tf.while_loop(
        lambda number, *_: number < tf.shape(shifts)[0],
        step,
        (0, nothing, nothing),
        back_prop=False,
    )
    return found & (contour >= 0), right & (predicted_contour >= 0)


def scores(sums, width: float) -> dict:
    """Returns the scores as plain values; None for a class that has no boundary.

    Args:
      sums: Of `Boundary`.
      width: Share of the diagonal.
    """
    labelled, predicted, hits, f1, images = np.asarray(sums)
    iou = ratios(hits, labelled + predicted - hits)
    by_image = ratios(f1, images)
    return {
        "width": width,
        "boundary_iou": mean_of_known(iou),
        "boundary_iou_per_class": iou,
        "boundary_f1": mean_of_known(by_image),
        "boundary_f1_per_class": by_image,
    }


VARIANTS = {"boundary": Boundary}
