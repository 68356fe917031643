"""All thresholds from 0 to 0.99 in one pass, and the areas under curves.

Each pixel adds to a histogram of its class: how many of the limits 0, 0.001 ... 0.999 its
probability exceeds. Above every hundredth the histogram gives the counts of that threshold, which
are exact. They are summed over the split (`iou`, `dice`, `matthews`), and scored image by image as
in `core.metrics.overlap` (`iou_per_image`, `dice_per_image`, `map10`).

The areas come from the same histogram, with a resolution of 0.001: probabilities between two limits
count as equal. AUC is the probability that a pixel of the class has a higher probability than one
without it, equal ones counting half (Hanley and McNeil, Radiology 143, 1982). The average precision
is the sum of precision times the gain in recall over the limits, from the highest (Manning et al.,
Introduction to Information Retrieval, 2008, section 8.4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.metrics import Measure, Score, class_scores, mean_of_known, overlap, planes
from options.threshold import METRICS
from utils import charts, report
from utils.compat import tf
from utils.errors import OptionError

BINS = 1000
_STEP = 10
THRESHOLDS = tuple(index / 100 for index in range(100))
_COLORS = ("#2f6fb5", "#d9822b", "#3f8f4f", "#7a4fa3", "#b33c3c", "#5b6770")


class Best(NamedTuple):
    """The first best threshold of a metric, and its value there."""

    threshold: float
    value: float


class Sweep(Measure):
    """Scores at every threshold, AUC and average precision; measured with `--threshold_sweep`."""

    name = "sweep"
    keys = ("auc", "average_precision")
    entries = ("sweep",)
    files = ("thresholds.csv",)
    needs_probabilities = True

    def __init__(self, task, classes, options):
        """Starts at zero."""
        if not task.uses_threshold:
            raise OptionError(
                f"--threshold_sweep has no effect with --task={task.name}, where the most probable "
                "class is predicted; leave it out."
            )
        self._task = task
        self._num_classes = classes.count
        self._empty = options.empty_images
        self.names = task.channel_names(classes)
        # One array, as it is summed over ranks: the histogram, and the sums over images.
        channels = len(self.names)
        self.sums = np.zeros([channels, 2 * (BINS + 1) + 4 * len(THRESHOLDS)])

    @classmethod
    def is_wanted(cls, task, options):
        """Whether thresholds are to be compared."""
        return options.threshold_sweep

    def fetches(self, pixels, prediction):
        """A histogram by image and channel."""
        return histogram(
            self._task.planes(pixels.labels, self._num_classes),
            prediction.probabilities,
            planes.counted_of(pixels),
        )

    def add(self, values, index):
        """Adds the histogram of an image, and its scores at every threshold."""
        own = values[index].astype(np.int64)
        self._histogram[...] += own
        hits, labelled, predicted, counted = counts(own)
        found = overlap.scores(hits, labelled, predicted, self._empty)
        overlap.add_to(self._of_images, np.where(counted > 0, found, np.nan))

    @property
    def _histogram(self):
        """The histogram, [channels, 2, bins], a view on the sums."""
        return self.sums[:, : 2 * (BINS + 1)].reshape([-1, 2, BINS + 1])

    @property
    def _of_images(self):
        """The sums over images, [4, channels, thresholds], a view on the sums."""
        found = self.sums[:, 2 * (BINS + 1) :].reshape([-1, 4, len(THRESHOLDS)])
        return found.transpose([1, 0, 2])

    def curves(self) -> dict:
        """Returns metric -> float64 [channels, thresholds]; NaN where it is not defined."""
        found = counts(self._histogram)
        iou, dice, _ = overlap.scores(*found[:3], "skip")
        of_images = overlap.means(self._of_images)
        matthews = class_scores.matthews(*found)
        return dict(zip(METRICS, (iou, dice, matthews, *of_images)))

    def best(self, metric: str) -> list:
        """Returns the `Best` of each channel, None for a class without any pixel."""
        return [_first_best(curve) for curve in self.curves()[metric]]

    def best_for_all(self, metric: str) -> Best | None:
        """Returns the threshold with the best mean over the classes."""
        return _first_best(_mean(self.curves()[metric]))

    def scores(self):
        """Returns the areas, and the best thresholds by metric."""
        areas = self._areas()
        rows = [
            {"name": name, **{key: areas[key][index] for key in areas}}
            for index, name in enumerate(self.names)
        ]
        best = {metric: (self.best(metric), self.best_for_all(metric)) for metric in METRICS}
        for index, row in enumerate(rows):
            row["best"] = {metric: _plain(found[index]) for metric, (found, _) in best.items()}
        return {
            **{key: mean_of_known(values) for key, values in areas.items()},
            "sweep": {
                "resolution": 1 / BINS,
                "empty_images": self._empty,
                "classes": rows,
                "best_for_all": {metric: _plain(found) for metric, (_, found) in best.items()},
            },
        }

    def headlines(self):
        """Returns the means of the areas over the classes."""
        areas = self._areas()
        note = f"mean over classes, resolution {1 / BINS:g}"
        return (
            Score("auc", "AUC", mean_of_known(areas["auc"]), note),
            Score(
                "average_precision",
                "average precision",
                mean_of_known(areas["average_precision"]),
                note,
            ),
        )

    def figures(self):
        """Returns the curves of the means over the classes."""
        curves = [
            charts.Curve(name, color, tuple(zip(range(len(THRESHOLDS)), _mean(values).tolist())))
            for (name, values), color in zip(self.curves().items(), _COLORS)
        ]
        content = {"chart": charts.line_chart("Scores by threshold", "threshold in %", curves)}
        return (report.Figure("sweep", "Thresholds", "sweep.html.j2", content),)

    def tables(self):
        """Returns the scores of each class at each threshold."""
        curves = self.curves()
        rows = [
            [name, threshold, *("" if np.isnan(value) else value for value in values)]
            for index, name in enumerate(self.names)
            for threshold, *values in zip(THRESHOLDS, *(curves[key][index] for key in METRICS))
        ]
        return {"thresholds.csv": [["class", "threshold", *METRICS], *rows]}

    def _areas(self) -> dict:
        """Returns AUC and average precision, a list by channel each."""
        return {
            "auc": [auc(*histogram) for histogram in self._histogram],
            "average_precision": [average_precision(*own) for own in self._histogram],
        }


def histogram(labels, probabilities, counted) -> tf.Tensor:
    """Returns int32 [N, channels, 2, bins + 1]: pixels by label and by limits exceeded.

    Args:
      labels: bool [N, h, w, channels].
      probabilities: float32 [N, h, w, channels], in [0, 1].
      counted: bool [N, h, w, 1 or channels].
    """
    shape = tf.shape(labels)
    images, channels = shape[0], labels.shape.as_list()[3]
    image = tf.reshape(tf.range(images), [-1, 1, 1, 1])
    row = (image * channels + tf.range(channels)) * 2 + tf.cast(labels, tf.int32)
    place = row * (BINS + 1) + _limits_exceeded(probabilities)
    # What does not count goes to a bin after the last, which is cut off.
    total = images * channels * 2 * (BINS + 1)
    place = tf.where(counted & tf.ones_like(labels), place, tf.zeros_like(place) + total)
    found = tf.math.bincount(
        tf.reshape(place, [-1]), minlength=total + 1, maxlength=total + 1, dtype=tf.int32
    )
    return tf.reshape(found[:-1], [images, channels, 2, BINS + 1])


def _limits_exceeded(probabilities):
    """Returns how many of the limits 0, 1/bins ... are below each probability, int32."""
    limits = tf.constant(np.arange(BINS) / BINS, tf.float32)
    number = tf.cast(tf.math.ceil(probabilities * BINS), tf.int32)
    number = tf.clip_by_value(number, 0, BINS)
    # The product is rounded: a comparison decides.
    below = tf.gather(limits, tf.maximum(number - 1, 0))
    number -= tf.cast((number > 0) & (probabilities <= below), tf.int32)
    above = tf.gather(limits, tf.minimum(number, BINS - 1))
    return number + tf.cast((number < BINS) & (probabilities > above), tf.int32)


def counts(histogram) -> tuple:
    """Returns hits, labelled, predicted and counted pixels, each int64 [channels, thresholds].

    Args:
      histogram: [channels, 2, bins + 1], of an image or summed.
    """
    without, labelled = np.moveaxis(np.asarray(histogram).astype(np.int64), 1, 0)
    hits, wrong = _above(labelled), _above(without)
    of_class = np.zeros_like(hits) + labelled.sum(axis=1, keepdims=True)
    rest = without.sum(axis=1, keepdims=True)
    return hits, of_class, hits + wrong, of_class + rest


def _above(pixels):
    """Returns the pixels above each threshold, [channels, thresholds]."""
    more = pixels[:, ::-1].cumsum(axis=1)[:, ::-1]
    return more[:, 1::_STEP]


def auc(without, labelled) -> float | None:
    """Returns the area under the ROC curve, None unless there are pixels of both kinds.

    Args:
      without: Pixels without the class by limits exceeded, [bins + 1].
      labelled: Pixels of the class, likewise.
    """
    pairs = float(labelled.sum()) * float(without.sum())
    if not pairs:
        return None
    lower = without.cumsum() - without
    return float((labelled * (lower + 0.5 * without)).sum() / pairs)


def average_precision(without, labelled) -> float | None:
    """Returns the area under precision by recall, None without pixels of the class.

    Args:
      without: Pixels without the class by limits exceeded, [bins + 1].
      labelled: Pixels of the class, likewise.
    """
    if not labelled.sum():
        return None
    hits, wrong = labelled[::-1].cumsum(), without[::-1].cumsum()
    precision = hits / np.maximum(hits + wrong, 1)
    return float((labelled[::-1] * precision).sum() / labelled.sum())


def _first_best(curve) -> Best | None:
    if np.isnan(curve).all():
        return None
    index = int(np.nanargmax(curve))
    return Best(THRESHOLDS[index], float(curve[index]))


def _mean(curves) -> np.ndarray:
    """Returns the mean over the classes that have a score, NaN where none has."""
    known = np.isfinite(curves)
    number = known.sum(axis=0)
    total = np.where(known, curves, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _plain(found: Best | None) -> dict | None:
    return None if found is None else found._asdict()


VARIANTS = {"sweep": Sweep}
