"""Predictions that say the same everywhere."""

import pytest

from core.metrics import degenerate

NAMES = ("road", "sky", "car")


def test_one_class_for_all_pixels_is_described_with_likely_causes():
    text = degenerate.describe([[700, 0, 0], [200, 0, 0], [99, 1, 0]], NAMES)
    assert text.startswith("99.9 % of the pixels are predicted as road, which 70.0 % of the labels")
    assert "--batch_norm_decay" in text


@pytest.mark.parametrize(
    "confusion",
    [
        [[700, 0, 0], [100, 100, 0], [50, 0, 50]],
        [[990, 0, 0], [5, 0, 0], [5, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ],
    ids=["several classes", "labels are nearly all the same", "no pixel"],
)
def test_other_predictions_are_no_collapse(confusion):
    assert degenerate.describe(confusion, NAMES) is None
