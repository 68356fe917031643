"""Dice, IoU and map10 of an object in an image, from three counts.

| score | formula |
| --- | --- |
| dice | 2 hits / (labelled + predicted) |
| iou | hits / (labelled + predicted - hits) |
| map10 | the share of the thresholds 0.5, 0.55 ... 0.95 that the IoU exceeds |

map10 is the score of the salt identification challenge (Kaggle, TGS 2018), which the Keras pipeline
writes as ceil(clip(20 (iou - 0.5), 0, 10)) / 10; here integers are compared, which is exact. That
pipeline adds 1e-6 to counts, so that its values differ by as much.

An image where a class is neither labelled nor predicted has none of these scores. A policy says
what it counts as: "zero", "one" (it is right), or "skip": it is left out.
"""

from __future__ import annotations

import numpy as np

NAMES = ("iou", "dice", "map10")
_OF_EMPTY = {"zero": 0.0, "one": 1.0, "skip": np.nan}


def scores(hits, labelled, predicted, empty_images: str) -> np.ndarray:
    """Returns the scores, float64 [3, ...] in the order of NAMES; NaN: left out.

    Args:
      hits: Pixels that are labelled and predicted, int64 [...], as the others.
      labelled: Pixels that are labelled.
      predicted: Pixels that are predicted.
      empty_images: The policy.
    """
    size = labelled + predicted
    union = size - hits
    known = np.maximum(union, 1)
    limits = np.arange(10, 20).reshape([10] + [1] * np.ndim(hits))
    exceeded = np.sum(20 * hits > limits * known, axis=0)
    found = np.stack([hits / known, 2 * hits / np.maximum(size, 1), exceeded / 10])
    return np.where(union == 0, _OF_EMPTY[empty_images], found)


def add_to(sums, found):
    """Adds the scores of an image to sums: those that it has, and that it has them.

    Args:
      sums: float64 [4, ...], the sums of the three scores and the number of images.
      found: From `scores`.
    """
    has_score = np.isfinite(found[0])
    sums[:3] += np.where(has_score, found, 0.0)
    sums[3] += has_score


def means(sums) -> np.ndarray:
    """Returns the means over the images, float64 [3, ...]; NaN without an image.

    Args:
      sums: As in `add_to`.
    """
    return np.where(sums[3] > 0, sums[:3] / np.maximum(sums[3], 1), np.nan)
