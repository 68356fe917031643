"""One streaming confusion matrix, and every score that follows from it.

The device counts one small matrix per image; the host adds them up in int64, so that no data set
is too large to be counted exactly. Rows are labels, columns are predictions. Ignored pixels,
padding and padding samples are in no cell.

A class that appears neither in labels nor in predictions has no IoU (None): it is left out of the
mean. A class that is only predicted has IoU 0 and counts.
"""

from __future__ import annotations

import numpy as np

from core.metrics import (
    ImageScore,
    Measure,
    Score,
    degenerate,
    largest_first,
    mean_of_known,
    ratios,
)
from core.metrics.class_scores import ClassScores, of_counts
from utils import charts, report
from utils.compat import tf

# Confusions that a report lists: of the whole split, and of one image.
_CONFUSIONS = 10
_MISTAKES = 3


class Confusion(Measure):
    """The confusion matrix of exclusive classes: mean IoU, accuracies, scores of each class."""

    name = "confusion"
    keys = ("miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    files = ("confusion_matrix.csv",)

    def __init__(self, task, classes, options):
        """Starts at zero."""
        self._names = classes.names
        self.sums = np.zeros([classes.count, classes.count], np.int64)

    def fetches(self, pixels, prediction):
        """Counts one matrix per image."""
        return count(pixels.labels, prediction.labels, pixels.counted, num_classes=len(self.sums))

    def add(self, values, index):
        """Adds the matrix of an image."""
        self.sums += values[index]

    def scores(self):
        """Returns everything that follows from the matrix."""
        scores = class_scores(self.sums)
        return {
            "miou": scores.mean_iou,
            **scores.entries(self._names),
            "pixel_accuracy": pixel_accuracy(self.sums),
            "mean_accuracy": mean_accuracy(self.sums),
            "frequency_weighted_iou": frequency_weighted_iou(self.sums),
        }

    def headlines(self):
        """Returns the means over the classes."""
        scores = class_scores(self.sums)
        return (
            Score("miou", "mIoU", scores.mean_iou, scores.note),
            Score(
                "pixel_accuracy",
                "pixel accuracy",
                pixel_accuracy(self.sums),
                "share of pixels right",
            ),
            Score(
                "mean_accuracy",
                "mean accuracy",
                mean_accuracy(self.sums),
                "mean recall of classes",
            ),
            Score(
                "frequency_weighted_iou",
                "frequency-weighted IoU",
                frequency_weighted_iou(self.sums),
                "weighted by pixels",
            ),
        )

    def columns(self):
        """Returns the scores of each class."""
        return class_scores(self.sums).columns(self.sums.sum())

    def figures(self):
        """Returns the picture of the matrix."""
        content = {
            "heat_map": charts.heat_map(self.sums, self._names),
            "confusions": charts.confusions(self.sums, self._names, _CONFUSIONS),
        }
        return (report.Figure("confusion", "Confusion matrix", "confusion.html.j2", content),)

    def tables(self):
        """Returns the matrix with labels as rows and predictions as columns."""
        rows = [[name, *row] for name, row in zip(self._names, self.sums.tolist())]
        return {"confusion_matrix.csv": [["label", *self._names], *rows]}

    def image_score(self, values, index):
        """Returns the share of right pixels of an image, its mean IoU and its largest mistakes.

        A few stray pixels of a class that is not there halve the mean IoU of an image, so images
        are not ranked by it.
        """
        own = values[index]
        right = pixel_accuracy(own)
        if right is None:
            return None
        mistakes = [
            f"{label} \u2192 {predicted} {report.percent(pixels / own.sum())}"
            for label, predicted, pixels, _ in charts.confusions(own, self._names, _MISTAKES)
        ]
        facts = [f"mIoU {report.score(mean_iou(own))}"]
        facts += [f"mistakes: {', '.join(mistakes)}"] if mistakes else []
        pixels = own.sum(axis=0) + own.sum(axis=1)
        return ImageScore("pixels right", right, tuple(facts), largest_first(pixels))

    def progress(self):
        """Returns the mean IoU so far."""
        return {"mIoU": mean_iou(self.sums)}

    def problem(self):
        """Describes predictions of one class for nearly all pixels."""
        return degenerate.describe(self.sums, self._names)


def count(labels, predictions, counted, *, num_classes: int) -> tf.Tensor:
    """Counts the pixels of a batch by label and prediction, exactly.

    Args:
      labels: int32 [N, h, w].
      predictions: int32 [N, h, w], 0 to num_classes - 1.
      counted: bool [N, h, w]; labels of these pixels are classes.
      num_classes: Number of classes.

    Returns:
      int32 [N, classes, classes].
    """
    cells = num_classes * num_classes
    images = tf.shape(labels)[0]
    image = tf.range(images)[:, tf.newaxis, tf.newaxis]
    index = image * cells + labels * num_classes + predictions
    # Everything else goes to one cell after the last, which is cut off: shapes stay static, as
    # devices want them. The counts are integers; float32 would be exact up to 2^24 pixels only.
    total = images * cells
    index = tf.where(counted, index, tf.zeros_like(index) + total)
    counts = tf.math.bincount(
        tf.reshape(index, [-1]), minlength=total + 1, maxlength=total + 1, dtype=tf.int32
    )
    return tf.reshape(counts[:-1], [images, num_classes, num_classes])


def class_scores(confusion) -> ClassScores:
    """Returns the scores of each class.

    Args:
      confusion: Integers [classes, classes], rows are labels, as in all functions here.
    """
    return of_counts(*_marginals(confusion))


def iou_per_class(confusion) -> list:
    """Returns the IoU of each row of [classes, classes], None for a class without any pixel."""
    hits, labelled, predicted = _marginals(confusion)
    return ratios(hits, labelled + predicted - hits)


def mean_iou(confusion) -> float | None:
    """Returns the mean IoU over classes with a nonzero union, None without any pixel.

    Source: TensorFlow's `tf.metrics.mean_iou`, which returns 0 without any pixel.
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


VARIANTS = {"confusion": Confusion}
