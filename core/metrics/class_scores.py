"""IoU, precision, recall, F1, accuracy and Matthews correlation of each class from its counts."""

from __future__ import annotations

import dataclasses

import numpy as np

from core.metrics import Column, mean_of_known, ratios


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """The scores of each class, lists by class id; None where a score is not defined.

    Attributes:
      iou: Intersection over union.
      precision: Share of the predicted pixels that are right.
      recall: Share of the labelled pixels that are found; the accuracy of the class.
      f1: Harmonic mean of both.
      labelled: Pixels with that label.
      predicted: Pixels with that prediction.
    """

    iou: list
    precision: list
    recall: list
    f1: list
    labelled: list
    predicted: list

    @property
    def mean_iou(self) -> float | None:
        """The mean IoU over the classes that have one."""
        return mean_of_known(self.iou)

    @property
    def note(self) -> str:
        """Says which classes are in the mean."""
        counted = sum(iou is not None for iou in self.iou)
        over = f"all {counted}" if counted == len(self.iou) else f"{counted} of {len(self.iou)}"
        return f"mean over {over} classes"

    def entries(self, names) -> dict:
        """Returns the scores as entries of `metrics.json`."""
        by_name = dataclasses.asdict(self)
        return {
            "iou_per_class": self.iou,
            "classes": [
                {"id": index, "name": name, **{key: by_name[key][index] for key in by_name}}
                for index, name in enumerate(names)
            ],
            "classes_in_mean": [index for index, iou in enumerate(self.iou) if iou is not None],
        }

    def columns(self, pixels: int) -> tuple:
        """Returns the columns of the table of classes.

        Args:
          pixels: How many pixels count.
        """
        shares = [count / pixels if pixels else 0.0 for count in self.labelled]
        return (
            Column("IoU", self.iou),
            Column("precision", self.precision),
            Column("recall", self.recall),
            Column("F1", self.f1),
            Column("pixels", shares, is_share=True),
        )


def of_counts(hits, labelled, predicted) -> ClassScores:
    """Returns the scores of each class.

    Args:
      hits: Pixels that are labelled and predicted, an array by class.
      labelled: Pixels with that label.
      predicted: Pixels with that prediction.
    """
    return ClassScores(
        iou=ratios(hits, labelled + predicted - hits),
        precision=ratios(hits, predicted),
        recall=ratios(hits, labelled),
        f1=ratios(2 * hits, labelled + predicted),
        labelled=labelled.tolist(),
        predicted=predicted.tolist(),
    )


def accuracy(hits, labelled, predicted, counted) -> list:
    """Returns the share of the counted pixels that are right about each class, None without any.

    Args:
      hits: Pixels that are labelled and predicted, an array by class.
      labelled: Pixels with that label.
      predicted: Pixels with that prediction.
      counted: Pixels that count.
    """
    return ratios(counted - labelled - predicted + 2 * hits, counted)


def matthews(hits, labelled, predicted, counted) -> np.ndarray:
    """Returns the Matthews correlation coefficient, float64 in the shape of the counts.

    With true and false positives and negatives, (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN +
    FP) (TN + FN)); NaN where a factor is zero: everything or nothing is labelled or predicted.

    Source: Matthews, Biochimica et Biophysica Acta 405 (1975), 442-451.

    Args:
      hits: As for `accuracy`, in any shape.
      labelled: Likewise.
      predicted: Likewise.
      counted: Likewise.
    """
    # Products of four counts do not fit into 64 bits.
    hits, labelled, predicted, counted = (
        np.asarray(count, np.float64) for count in (hits, labelled, predicted, counted)
    )
    product = labelled * predicted * (counted - labelled) * (counted - predicted)
    # TP TN - FP FN with the margins kept.
    covariance = hits * counted - labelled * predicted
    return np.where(product > 0, covariance / np.sqrt(np.maximum(product, 1.0)), np.nan)
