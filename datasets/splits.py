"""What the name of a split means: whether it is for evaluation, which splits must be disjoint."""

from __future__ import annotations

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
