"""Keeps a few images of a split for the report: the worst, the best, and some at random.

Memory is bounded: of each kept image only its small pictures stay, however large the split is.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import random

from core.metrics import ImageScore
from utils import pictures
from utils.classes import ClassSet
from utils.compat import tf
from utils.report import Sample

# Longest side of a picture in the report: sharp on a screen, small in the file.
_PICTURE_SIDE = 400


def fetches(batch, pixels, prediction) -> list:
    """Returns the tensors of a batch that pictures need: images, labels, predictions."""
    # Class ids, or 0, 1 and 255. All images are copied, though only a few are kept.
    small = (tf.cast(values, tf.uint8) for values in (pixels.labels, prediction.labels))
    return [tf.cast(batch["image"], tf.uint8), *small]


def drawing(values, index: int, size, classes: ClassSet):
    """Keeps one image of a batch, small; returns a function that draws its panels.

    Args:
      values: What was fetched.
      index: Its place in the batch.
      size: Its (height, width); the rest is padding.
      classes: The classes.
    """
    height, width = size
    kept = pictures.shrunk(
        *(array[index, :height, :width] for array in values), longest_side=_PICTURE_SIDE
    )
    return functools.partial(
        pictures.panels, *kept, colors=classes.colors, ignore_label=classes.ignore_label
    )


class Examples:
    """Is offered every image of a split once, and keeps the ones worth showing."""

    def __init__(self, *, worst: int = 8, best: int = 2, at_random: int = 4):
        """Makes an empty collection.

        Args:
          worst: How many images with the lowest scores to keep.
          best: How many with the highest.
          at_random: How many at random; the choice is the same in each evaluation.
        """
        self._worst = _Extremes(worst)
        self._best = _Extremes(best)
        self._random = _Reservoir(at_random)

    def add(self, name: str, score: ImageScore | None, draw):
        """Considers an image.

        Args:
          name: Its name.
          score: Its result; None where nothing in it is labelled.
          draw: Called at most once, only if the image is kept; returns what `groups` calls to
            get its `utils.pictures.Panels`, so that nothing is drawn that is not shown.
        """
        if score is None:
            return
        takers = [
            keep
            for keep, wanted in (
                (self._worst, self._worst.wants(-score.value)),
                (self._best, self._best.wants(score.value)),
                (self._random, self._random.wants()),
            )
            if wanted
        ]
        if not takers:
            return
        sample = Sample(name, score.name, score.value, score.facts, draw(), score.classes)
        for keep in takers:
            keep.put(sample)

    def groups(self) -> tuple:
        """Returns (title, samples) in the order to show them; no image is in two groups."""
        worst = self._worst.ordered()
        best = [sample for sample in self._best.ordered() if sample not in worst]
        rest = [
            sample for sample in self._random.kept if sample not in worst and sample not in best
        ]
        groups = (("Worst images", worst), ("Random images", rest), ("Best images", best))
        return tuple(
            (title, tuple(dataclasses.replace(kept, panels=kept.panels()) for kept in samples))
            for title, samples in groups
            if samples
        )


class _Extremes:
    """Keeps the entries with the largest scores; of equal ones the earliest."""

    def __init__(self, size: int):
        self._size = size
        self._heap = []
        self._seen = 0
        self._next = None

    def wants(self, score: float) -> bool:
        self._seen += 1
        self._next = (score, -self._seen)
        return len(self._heap) < self._size or (self._size > 0 and self._next > self._heap[0][:2])

    def put(self, sample):
        # The second number is unique, so that samples are never compared.
        entry = (*self._next, sample)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def ordered(self) -> list:
        return [entry[2] for entry in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


class _Reservoir:
    """Keeps entries drawn evenly from a stream of unknown length (Vitter's algorithm R)."""

    def __init__(self, size: int):
        self._size = size
        self._random = random.Random(0)
        self._seen = 0
        self._place = None
        self.kept = []

    def wants(self) -> bool:
        self._place = self._random.randint(0, self._seen)
        self._seen += 1
        return self._place < self._size

    def put(self, sample):
        if len(self.kept) < self._size:
            self.kept.append(sample)
        else:
            self.kept[self._place] = sample
