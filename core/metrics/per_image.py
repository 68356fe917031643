"""Dice, IoU and map10 as means over the images; see `core.metrics.overlap`.

The scores of an image are those of each class; a class has the mean over the images, and the score
is the mean over the classes. An image whose pixels are all ignored is no image of that class.
"""

from __future__ import annotations

import numpy as np

from core.metrics import Column, Measure, Score, mean_of_known, overlap, planes

_KEYS = {"iou": "iou_per_image", "dice": "dice_per_image", "map10": "map10"}
_TITLES = {"iou": "IoU per image", "dice": "Dice per image", "map10": "map10"}


class PerImage(Measure):
    """Means over the images of scores of labels that are predicted by a threshold."""

    name = "per_image"
    keys = tuple(_KEYS.values())
    entries = ("per_image",)

    def __init__(self, task, classes, options):
        """Starts at zero."""
        self._task = task
        self._num_classes = classes.count
        self._names = task.channel_names(classes)
        self._empty = options.empty_images
        self.sums = np.zeros([4, len(self._names)])

    def fetches(self, pixels, prediction):
        """Counts by image and channel."""
        return planes.count(pixels, prediction.labels, self._task, self._num_classes)

    def add(self, values, index):
        """Adds the scores of an image."""
        hits, labelled, predicted, counted = values[index].astype(np.int64)
        found = overlap.scores(hits, labelled, predicted, self._empty)
        overlap.add_to(self.sums, np.where(counted > 0, found, np.nan))

    def scores(self):
        """Returns the means, and those of each class."""
        by_class = self._by_class()
        rows = [
            {"name": name, "images": int(images), **dict(zip(overlap.NAMES, values))}
            for name, images, *values in zip(self._names, self.sums[3], *by_class.values())
        ]
        return {
            **{score.key: score.value for score in self.headlines()},
            "per_image": {"empty_images": self._empty, "classes": rows},
        }

    def headlines(self):
        """Returns the means over the classes."""
        note = f"mean over images, empty ones {_COUNTED[self._empty]}"
        return tuple(
            Score(_KEYS[name], _TITLES[name], mean_of_known(values), note)
            for name, values in self._by_class().items()
        )

    def columns(self):
        """Returns the map10 of each class."""
        missing = [None] * (self._num_classes - len(self._names))
        return (Column("map10", missing + self._by_class()["map10"]),)

    def _by_class(self) -> dict:
        """Returns score -> a value per channel, None where no image has one."""
        return {
            name: [float(value) if np.isfinite(value) else None for value in row]
            for name, row in zip(overlap.NAMES, overlap.means(self.sums))
        }


_COUNTED = {"zero": "count 0", "one": "count 1", "skip": "left out"}

VARIANTS = {"per_image": PerImage}
