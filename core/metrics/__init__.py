"""The measures of an evaluation: one file each, found by the VARIANTS of its module.

A measure names the tensors of a batch that it needs, accumulates them over a split and returns its
scores, which results, tables and reports show.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np

from core.task import Task
from options.evaluation import EvalOptions
from utils.classes import ClassSet
from utils.compat import tf


class Pixels(NamedTuple):
    """The labels of a batch, and which of them count.

    Attributes:
      labels: int32, in the shape of predicted labels (`core.task`).
      counted: bool in the same shape: not ignored, not padding.
      heights: int32 [N], rows of each image; those below are padding.
      widths: int32 [N], columns of each image; those to the right are padding.
    """

    labels: tf.Tensor
    counted: tf.Tensor
    heights: tf.Tensor
    widths: tf.Tensor


class Score(NamedTuple):
    """A score of a split.

    Attributes:
      key: Its name for programs, such as `miou`: what `--monitor` may name.
      name: Its name for people.
      value: The score; None where it is not defined.
      note: A short explanation.
      larger_is_better: Whether a larger score is better.
    """

    key: str
    name: str
    value: float | None
    note: str
    larger_is_better: bool = True

    def as_text(self) -> str:
        """Returns name and value for a line of a log."""
        return f"{self.name} " + ("-" if self.value is None else f"{self.value:.4f}")


class Column(NamedTuple):
    """A score of every class.

    Attributes:
      title: Its name for people.
      values: One per class, None where it is not defined.
      is_share: Whether it is a share of the pixels, written in per cent.
    """

    title: str
    values: list
    is_share: bool = False


class ImageScore(NamedTuple):
    """The result of one image.

    Attributes:
      name: Name of the score.
      value: The score, by which images are ranked.
      facts: Further results as short texts.
      classes: Ids of the classes that are labelled or predicted in it, the largest first.
    """

    name: str
    value: float
    facts: tuple
    classes: tuple


class Measure(abc.ABC):
    """Accumulates one measurement over a split; created for each pass.

    Attributes:
      name: Its name among VARIANTS.
      needs_probabilities: Whether predictions need probabilities beside labels.
      keys: Names of the single numbers among its entries of `metrics.json`.
      entries: Names of its entries of `metrics.json` that are None where it is not measured.
      files: Names of the files that it may write.
      sums: The accumulated array.
    """

    name: str
    needs_probabilities = False
    keys: tuple = ()
    entries: tuple = ()
    files: tuple = ()
    sums: np.ndarray

    @abc.abstractmethod
    def __init__(self, task: Task, classes: ClassSet, options: EvalOptions):
        """Starts at zero.

        Raises:
          OptionError: If it cannot be measured for this task.
        """

    @classmethod
    def is_wanted(cls, task: Task, options: EvalOptions) -> bool:
        """Whether it is measured; by default for the tasks that list it."""
        return cls.name in task.measures

    @abc.abstractmethod
    def fetches(self, pixels: Pixels, prediction):
        """Returns the tensors of a batch to fetch, each with one entry per image.

        Args:
          pixels: The labels.
          prediction: A `core.inference.tta.Prediction`.
        """

    @abc.abstractmethod
    def add(self, values, index: int):
        """Adds an image.

        Args:
          values: What was fetched for its batch.
          index: Its place in the batch.
        """

    def sum_over_ranks(self, backend):
        """Makes the sums those of the whole split."""
        self.sums = backend.sum_over_ranks(self.sums)

    @abc.abstractmethod
    def scores(self) -> dict:
        """Returns all scores as plain values, the entries of `metrics.json`."""

    def headlines(self) -> tuple:
        """Returns the `Score`s to show first."""
        return ()

    def columns(self) -> tuple:
        """Returns the `Column`s of the table of classes."""
        return ()

    def figures(self) -> tuple:
        """Returns the `utils.report.Figure`s of the report."""
        return ()

    def tables(self) -> dict:
        """Returns file name -> rows of a CSV file, for the names in `files`."""
        return {}

    def image_score(self, values, index: int) -> ImageScore | None:
        """Returns the result of an image of a batch, None if it has none.

        Args:
          values: What was fetched for its batch.
          index: Its place in the batch.
        """
        return None

    def progress(self) -> dict:
        """Returns name -> score to show while the pass runs."""
        return {}

    def problem(self) -> str | None:
        """Returns what is obviously wrong with the predictions, None if nothing is."""
        return None


def ratios(numerators, denominators) -> list:
    """Returns the quotients as numbers, None where the denominator is zero."""
    return [
        float(numerator) / float(denominator) if denominator else None
        for numerator, denominator in zip(numerators, denominators)
    ]


def mean_of_known(values) -> float | None:
    """Returns the mean of the values that are not None, None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def largest_first(pixels) -> tuple:
    """Returns the ids of the classes that have pixels, those with the most first."""
    order = np.argsort(-np.asarray(pixels), kind="stable")
    return tuple(int(label) for label in order if pixels[label])
