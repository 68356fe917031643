"""Whether a network is as sure as it is right: the expected calibration error.

Source: Guo et al., "On Calibration of Modern Neural Networks" (arXiv 1706.04599). Pixels are sorted
into bins of equal width by the probability of their predicted class; the error is the mean over the
bins, weighted by pixels, of |share of right pixels - mean probability|.
"""

from __future__ import annotations

import numpy as np

from utils.compat import tf


def count(labels, predictions, confidences, counted, *, bins: int) -> tf.Tensor:
    """Returns float64 [3, bins]: pixels, right pixels, and the sum of confidences by bin.

    Args:
      labels: int32 [N, h, w].
      predictions: int32 [N, h, w].
      confidences: float32 [N, h, w], the probability of the prediction, in [0, 1].
      counted: bool [N, h, w], from `metrics.counted`.
      bins: Number of bins.
    """
    place = tf.minimum(tf.cast(confidences * bins, tf.int32), bins - 1)
    # What does not count goes to a bin behind the last, which is cut off.
    place = tf.where(counted, place, tf.fill(tf.shape(place), bins))
    right = tf.equal(labels, predictions)

    def summed(weights):
        return tf.math.bincount(
            tf.reshape(place, [-1]),
            weights=tf.reshape(tf.cast(weights, tf.float64), [-1]),
            minlength=bins + 1,
            maxlength=bins + 1,
        )[:bins]

    return tf.stack([summed(tf.ones_like(confidences)), summed(right), summed(confidences)])


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
