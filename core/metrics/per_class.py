"""IoU, precision, recall and F1 of labels that are predicted by a threshold.

Counted by label over the whole split and divided once. A label that is neither set nor predicted
anywhere has no IoU and is left out of the mean.
"""

from __future__ import annotations

import numpy as np

from core.metrics import ImageScore, Measure, Score, class_scores, largest_first
from utils.compat import tf

# Labels that a report names beside an image.
_LOWEST = 3


class _Planes(Measure):
    """Counts what is set and predicted in each channel."""

    def __init__(self, task, classes, options):
        """Starts at zero."""
        self._task = task
        self._num_classes = classes.count
        self._names = task.channel_names(classes)
        # Rows: hits, labelled, predicted, counted pixels.
        self.sums = np.zeros([4, len(self._names)], np.int64)

    def fetches(self, pixels, prediction):
        """Counts by image and channel: int32 [N, 4, channels]."""
        labels, predictions = (
            self._task.planes(values, self._num_classes)
            for values in (pixels.labels, prediction.labels)
        )
        counted = pixels.counted
        if counted.shape.ndims == 3:
            counted = counted[..., tf.newaxis]
        planes = (labels & predictions, labels, predictions, tf.ones_like(labels))
        return tf.stack([_pixels(plane & counted) for plane in planes], axis=1)

    def add(self, values, index):
        """Adds the counts of an image."""
        self.sums += values[index]

    def _scores(self):
        return class_scores.of_counts(*self.sums[:3])


class ObjectScores(_Planes):
    """The scores of the object of a binary task."""

    name = "object"
    keys = ("iou", "f1", "precision", "recall")

    def scores(self):
        """Returns the four scores."""
        return {score.key: score.value for score in self.headlines()}

    def headlines(self):
        """Returns the same."""
        (name,) = self._names
        found = self._scores()
        return (
            Score("iou", "IoU", found.iou[0], name),
            Score("f1", "F1", found.f1[0], name),
            Score("precision", "precision", found.precision[0], name),
            Score("recall", "recall", found.recall[0], name),
        )

    def progress(self):
        """Returns the IoU so far."""
        return {"IoU": self._scores().iou[0]}


class LabelScores(_Planes):
    """The scores of each label of a multi-label task, and their mean."""

    name = "labels"
    keys = ("mean_iou_of_labels", "label_accuracy")

    def scores(self):
        """Returns all of them."""
        found = self._scores()
        return {
            "mean_iou_of_labels": found.mean_iou,
            **found.entries(self._names),
            "label_accuracy": self._accuracy(),
        }

    def headlines(self):
        """Returns the means over the labels."""
        found = self._scores()
        note = "share of labels right"
        return (
            Score("mean_iou_of_labels", "mean IoU of labels", found.mean_iou, found.note),
            Score("label_accuracy", "label accuracy", self._accuracy(), note),
        )

    def columns(self):
        """Returns the scores of each label."""
        return self._scores().columns(self.sums[3].max())

    def image_score(self, values, index):
        """Returns the mean IoU over the labels of an image, and the worst of them."""
        hits, labelled, predicted, _ = values[index]
        found = class_scores.of_counts(hits, labelled, predicted)
        if found.mean_iou is None:
            return None
        known = [(iou, name) for iou, name in zip(found.iou, self._names) if iou is not None]
        lowest = [f"{name} {iou:.4f}" for iou, name in sorted(known)[:_LOWEST]]
        classes = largest_first(labelled + predicted)
        return ImageScore("mean IoU", found.mean_iou, (f"lowest: {', '.join(lowest)}",), classes)

    def progress(self):
        """Returns the mean IoU so far."""
        return {"IoU": self._scores().mean_iou}

    def _accuracy(self):
        hits, labelled, predicted, counted = self.sums
        wrong = labelled + predicted - 2 * hits
        return float(1 - wrong.sum() / counted.sum()) if counted.any() else None


def _pixels(plane):
    return tf.reduce_sum(tf.cast(plane, tf.int32), axis=[1, 2])


VARIANTS = {"object": ObjectScores, "labels": LabelScores}
