"""How far confidence is from accuracy: the expected calibration error.

Source: Guo et al., "On Calibration of Modern Neural Networks" (arXiv 1706.04599). Pixels are sorted
into bins of equal width by the probability of their predicted class; the error is the mean over the
bins, weighted by pixels, of |share of right pixels - mean probability|. With several labels per
pixel each of them counts as one.
"""

from __future__ import annotations

import numpy as np

from core.metrics import Measure, Score
from utils import charts, report
from utils.compat import tf


class Calibration(Measure):
    """The expected calibration error and its diagram; measured with `--calibration_bins`."""

    name = "calibration"
    entries = ("calibration",)
    needs_probabilities = True

    def __init__(self, task, classes, options):
        """Starts at zero."""
        self._task = task
        self.sums = np.zeros([3, options.calibration_bins])

    @classmethod
    def is_wanted(cls, task, options):
        """Whether there are bins."""
        return options.calibration_bins > 0

    def fetches(self, pixels, prediction):
        """Sums by image and bin."""
        return count(
            pixels.labels,
            prediction.labels,
            self._task.confidence(prediction.probabilities),
            pixels.counted,
            bins=self.sums.shape[1],
        )

    def add(self, values, index):
        """Adds the bins of an image."""
        self.sums += values[index]

    def scores(self):
        """Returns the error and its bins."""
        return {"calibration": scores(self.sums)}

    def headlines(self):
        """Returns the error."""
        note = f"expected, {self.sums.shape[1]} bins"
        error = scores(self.sums)["ece"]
        return (Score("ece", "calibration error", error, note, larger_is_better=False),)

    def figures(self):
        """Returns the reliability diagram."""
        content = {"diagram": charts.reliability(scores(self.sums)["bins"])}
        return (report.Figure("calibration", "Calibration", "calibration.html.j2", content),)


def count(labels, predictions, confidences, counted, *, bins: int) -> tf.Tensor:
    """Returns float64 [N, 3, bins]: pixels, right pixels, and the sum of confidences by bin.

    Args:
      labels: int32 [N, h, w], or [N, h, w, classes] of independent labels.
      predictions: int32, likewise.
      confidences: float32, likewise, the probability of the prediction, in [0, 1].
      counted: bool, likewise, whether a pixel counts.
      bins: Number of bins.
    """
    images = tf.shape(labels)[0]
    first = tf.reshape(tf.range(images) * bins, [-1] + [1] * (labels.shape.ndims - 1))
    total = images * bins
    place = tf.minimum(tf.cast(confidences * bins, tf.int32), bins - 1) + first
    # What does not count goes to a bin after the last, which is cut off.
    place = tf.where(counted, place, tf.zeros_like(place) + total)
    right = tf.equal(labels, predictions)

    def summed(weights):
        sums = tf.math.bincount(
            tf.reshape(place, [-1]),
            weights=tf.reshape(tf.cast(weights, tf.float64), [-1]),
            minlength=total + 1,
            maxlength=total + 1,
        )
        return tf.reshape(sums[:-1], [images, bins])

    parts = [summed(tf.ones_like(confidences)), summed(right), summed(confidences)]
    return tf.stack(parts, axis=1)


def scores(sums) -> dict:
    """Returns the error and the diagram as plain values.

    Args:
      sums: [3, bins], the sum of `count` over a split.
    """
    pixels, right, confidence = np.asarray(sums, np.float64)
    known = np.maximum(pixels, 1.0)
    accuracy, mean = right / known, confidence / known
    return {
        "ece": float((pixels * np.abs(accuracy - mean)).sum() / max(pixels.sum(), 1.0)),
        "bins": [
            {
                "confidence": float(mean[index]),
                "accuracy": float(accuracy[index]),
                "share": float(pixels[index] / max(pixels.sum(), 1.0)),
            }
            for index in range(len(pixels))
        ],
    }


VARIANTS = {"calibration": Calibration}
