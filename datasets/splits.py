"""Splits: what their names mean, and how they are drawn."""

from __future__ import annotations

import numpy as np

from utils.errors import UserError

_EVALUATION = ("val", "valid", "validation", "test")


def is_evaluation(split: str) -> bool:
    """Returns whether a split is for evaluation: val, val_fine, test, val2017, coco2017_val."""
    words = split.lower().replace("-", "_").split("_")
    return any(word.rstrip("0123456789") in _EVALUATION for word in words)


def must_be_disjoint(first: str, second: str) -> bool:
    """Returns whether two splits may share no image: trainaug may hold train, trainval val."""
    if is_evaluation(first) == is_evaluation(second):
        return is_evaluation(first)
    other = second if is_evaluation(first) else first
    return "trainval" not in other.lower() and other.lower() != "all"


def hold_out(samples: list, fraction: float, seed: int) -> dict:
    """Returns the splits train and val, each in the order of the samples.

    Which samples become val depends on the seed and the order of the samples only.

    Raises:
      UserError: If a split would be empty.
    """
    number = round(fraction * len(samples))
    if not 0 < number < len(samples):
        raise UserError(f"--val_fraction={fraction} of {len(samples)} images leaves a split empty.")
    order = np.random.RandomState(seed).permutation(len(samples))
    chosen = set(order[:number].tolist())
    return {
        "train": [sample for place, sample in enumerate(samples) if place not in chosen],
        "val": [sample for place, sample in enumerate(samples) if place in chosen],
    }
