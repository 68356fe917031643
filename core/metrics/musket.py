"""Scores of the Keras pipeline (document "Musket") whose names mislead, in their exact form.

Both are computed for each image and averaged over the images; sums go over all pixels and channels:

| score | formula | on |
| --- | --- | --- |
| musket.iou | 2 (sum yp + 1) / (sum y + sum p + 1) | probabilities p |
| musket.iot | the same | p > 0.5 |

That is no IoU but a smoothed Dice, and 2 where neither is anything. They are here to compare runs
with those of that pipeline, not to judge a network.
"""

from __future__ import annotations

import numpy as np

from core.metrics import Measure, Score, planes
from utils.compat import tf


class Musket(Measure):
    """`musket.iou` and `musket.iot`; measured with `--musket_metrics`."""

    name = "musket"
    keys = ("musket.iou", "musket.iot")
    needs_probabilities = True

    def __init__(self, task, classes, options):
        """Starts at zero."""
        self._task = task
        self._num_classes = classes.count
        # The sums of both scores, and the images.
        self.sums = np.zeros([3])

    @classmethod
    def is_wanted(cls, task, options):
        """Whether they were asked for."""
        return options.musket_metrics

    def fetches(self, pixels, prediction):
        """The two scores by image, float32 [N, 2]."""
        counted = planes.counted_of(pixels)
        labels = self._task.planes(pixels.labels, self._num_classes) & counted
        labels = tf.cast(labels, tf.float32)
        probabilities = prediction.probabilities * tf.cast(counted, tf.float32)
        hard = tf.cast(probabilities > 0.5, tf.float32)
        return tf.stack([overlap(labels, predicted) for predicted in (probabilities, hard)], axis=1)

    def add(self, values, index):
        """Adds the scores of an image."""
        self.sums += (*values[index], 1)

    def scores(self):
        """Returns the means over the images."""
        return {score.key: score.value for score in self.headlines()}

    def headlines(self):
        """Returns the same."""
        *sums, images = self.sums
        return tuple(
            Score(key, key, total / images if images else None, "Keras pipeline, up to 2")
            for key, total in zip(self.keys, sums)
        )


def overlap(labels, predicted) -> tf.Tensor:
    """Returns what the Keras pipeline calls the IoU of each image, float32 [N].

    Args:
      labels: 0 or 1, float32 [N, h, w, channels].
      predicted: Probabilities, likewise.
    """
    axes = [1, 2, 3]
    both = tf.reduce_sum(labels * predicted, axis=axes)
    total = tf.reduce_sum(labels, axis=axes) + tf.reduce_sum(predicted, axis=axes)
    return 2.0 * (both + 1.0) / (total + 1.0)


VARIANTS = {"musket": Musket}
