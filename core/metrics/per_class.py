"""IoU, precision, recall and F1 of labels that are predicted by a threshold.

Counted by label over the whole split and divided once. A label that is neither set nor predicted
anywhere has no IoU and is left out of the mean.
"""

from __future__ import annotations

import numpy as np

from core.metrics import (
    ImageScore,
    Measure,
    Score,
    class_scores,
    largest_first,
    mean_of_known,
    planes,
)

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
        """Counts by image and channel."""
        return planes.count(pixels, prediction.labels, self._task, self._num_classes)

    def add(self, values, index):
        """Adds the counts of an image."""
        self.sums += values[index]

    def _scores(self):
        return class_scores.of_counts(*self.sums[:3])

    def _matthews(self) -> list:
        """Returns the Matthews correlation of each channel, None where it is not defined."""
        found = class_scores.matthews(*self.sums)
        return [float(value) if np.isfinite(value) else None for value in found]


class ObjectScores(_Planes):
    """The scores of the object of a binary task."""

    name = "object"
    keys = ("iou", "f1", "precision", "recall", "matthews")

    def scores(self):
        """Returns the scores."""
        return {score.key: score.value for score in self.headlines()}

    def headlines(self):
        """Returns the same."""
        (name,) = self._names
        found = self._scores()
        return (
            Score("iou", "IoU", found.iou[0], name),
            Score("f1", "F1 (Dice)", found.f1[0], name),
            Score("precision", "precision", found.precision[0], name),
            Score("recall", "recall", found.recall[0], name),
            Score("matthews", "Matthews correlation", self._matthews()[0], name),
        )

    def progress(self):
        """Returns the IoU so far."""
        return {"IoU": self._scores().iou[0]}


class LabelScores(_Planes):
    """The scores of each label of a multi-label task, and their mean."""

    name = "labels"
    keys = (
        "mean_iou_of_labels",
        "mean_f1_of_labels",
        "mean_precision_of_labels",
        "mean_recall_of_labels",
        "mean_matthews_of_labels",
        "label_accuracy",
    )

    def scores(self):
        """Returns all of them."""
        entries = self._scores().entries(self._names)
        further = zip(class_scores.accuracy(*self.sums), self._matthews())
        for row, (accuracy, matthews) in zip(entries["classes"], further):
            row.update(accuracy=accuracy, matthews=matthews)
        return {**{score.key: score.value for score in self.headlines()}, **entries}

    def headlines(self):
        """Returns the means over the labels."""
        found = self._scores()
        means = {
            "f1": ("F1 (Dice)", found.f1),
            "precision": ("precision", found.precision),
            "recall": ("recall", found.recall),
            "matthews": ("Matthews", self._matthews()),
        }
        return (
            Score("mean_iou_of_labels", "mean IoU of labels", found.mean_iou, found.note),
            *(
                Score(f"mean_{key}_of_labels", f"mean {name}", mean_of_known(values), "of labels")
                for key, (name, values) in means.items()
            ),
            Score("label_accuracy", "label accuracy", self._accuracy(), "share of labels right"),
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


VARIANTS = {"object": ObjectScores, "labels": LabelScores}
