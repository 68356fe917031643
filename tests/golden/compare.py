"""Differences between recomputed and stored arrays, as numbers and as a table."""

from __future__ import annotations

import numpy as np


def largest_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest absolute difference, NaN where a value is NaN on one side only.

    Raises:
      ValueError: If the shapes differ.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise ValueError(f"The shape is {actual.shape}, but {expected.shape} is stored.")
    if not actual.size:
        return 0.0
    return float(np.max(np.abs(actual.astype(np.float64) - expected.astype(np.float64))))


def largest_relative_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest of |actual - expected| / |expected|, with 0 / 0 = 0."""
    difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
    size = np.abs(np.asarray(expected, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0, 0.0, difference / size)
    return float(np.max(ratio)) if ratio.size else 0.0


def share_equal(actual: np.ndarray, expected: np.ndarray) -> float:
    """Returns the share of equal elements."""
    return float(np.mean(np.asarray(actual) == np.asarray(expected)))


def difference_to_range(actual: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest absolute difference over the largest stored magnitude."""
    largest = float(np.max(np.abs(np.asarray(expected, np.float64)))) if expected.size else 0.0
    return largest_difference(actual, expected) / largest if largest else 0.0


def table(actual: dict, expected: dict) -> str:
    """Returns one line per array: the largest differences, or what keeps from comparing."""
    lines = [f"{'array':<24} {'largest difference':>18} {'of the range':>12} {'equal':>9}"]
    for name in sorted(set(actual) | set(expected)):
        lines.append(f"{name:<24} {_row(actual.get(name), expected.get(name))}")
    return "\n".join(lines)


def _row(actual, expected) -> str:
    if expected is None:
        return "is not stored"
    if actual is None:
        return "was not recomputed"
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return f"has shape {actual.shape}, stored is {expected.shape}"
    return (
        f"{largest_difference(actual, expected):>18.3g} "
        f"{difference_to_range(actual, expected):>12.3g} "
        f"{share_equal(actual, expected):>9.3%}"
    )
