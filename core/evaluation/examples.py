"""Keeps a few images of a split to look at: the worst, the best, and some at random.

Memory is bounded: of each kept image only its small pictures stay, however large the split is.
"""

from __future__ import annotations

import dataclasses
import heapq
import random

import numpy as np

from core.metrics import confusion as metrics
from utils import charts
from utils.report import Sample

_MISTAKES = 3


class Samples:
    """Sees every image of a split once and keeps the ones worth showing."""

    def __init__(self, class_names, *, worst: int = 8, best: int = 2, at_random: int = 4):
        """Makes an empty collection.

        Args:
          class_names: Class names by id.
          worst: How many images with the lowest mIoU to keep.
          best: How many with the highest.
          at_random: How many at random; the choice is the same in each evaluation.
        """
        self._class_names = class_names
        self._worst = _Extremes(worst)
        self._best = _Extremes(best)
        self._random = _Reservoir(at_random)

    def add(self, name: str, confusion, draw):
        """Considers an image.

        Args:
          name: Its name.
          confusion: Integers [classes, classes] of this image, rows are labels.
          draw: Called at most once, only if the image is kept; returns what `groups` calls to
            get its `utils.pictures.Panels`, so that nothing is drawn that is not shown.
        """
        miou = metrics.mean_iou(confusion)
        if miou is None:
            # Nothing in it is labelled.
            return
        takers = [
            keep
            for keep, wanted in (
                (self._worst, self._worst.wants(-miou)),
                (self._best, self._best.wants(miou)),
                (self._random, self._random.wants()),
            )
            if wanted
        ]
        if not takers:
            return
        sample = Sample(
            name=name,
            miou=miou,
            accuracy=metrics.pixel_accuracy(confusion),
            mistakes=_mistakes(confusion, self._class_names),
            panels=draw(),
            classes=_present(confusion),
        )
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


def _present(confusion) -> tuple:
    """Returns the ids of the classes in an image, those with the most pixels first."""
    pixels = np.sum(confusion, axis=0) + np.sum(confusion, axis=1)
    order = np.argsort(-pixels, kind="stable")
    return tuple(int(label) for label in order if pixels[label])


def _mistakes(confusion, class_names) -> tuple:
    """Returns (label name, predicted name, share of the image's pixels), largest first."""
    total = int(np.sum(confusion))
    return tuple(
        (label, predicted, pixels / total)
        for label, predicted, pixels, _ in charts.confusions(confusion, class_names, _MISTAKES)
    )
