"""Dice, IoU and map10 of images, and what an empty image counts as."""

import numpy as np
import pytest

from core.metrics import overlap
from core.metrics.per_image import PerImage
from core.task import TASKS
from options.evaluation import EvalOptions
from utils.classes import ClassSet


def scores(hits, labelled, predicted, empty="skip"):
    return overlap.scores(*(np.int64(count) for count in (hits, labelled, predicted)), empty)


def test_scores_follow_their_formulas():
    iou, dice, map10 = scores([6, 0, 8], [8, 5, 8], [10, 0, 8])
    assert iou.tolist() == [0.5, 0.0, 1.0]
    assert dice.tolist() == [12 / 18, 0.0, 1.0]
    assert map10.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("hits", "union", "expected"),
    [(50, 100, 0.0), (51, 100, 0.1), (55, 100, 0.1), (56, 100, 0.2), (95, 100, 0.9), (96, 100, 1)],
)
def test_map10_counts_the_thresholds_that_the_iou_exceeds(hits, union, expected):
    assert scores([hits], [union], [hits])[2] == [expected]


@pytest.mark.parametrize(("empty", "expected"), [("zero", 0.0), ("one", 1.0), ("skip", None)])
def test_an_image_with_nothing_counts_as_the_policy_says(empty, expected):
    measure = PerImage(
        TASKS["multilabel"],
        ClassSet(("a", "b"), task="multilabel"),
        EvalOptions(empty_images=empty),
    )
    # Hits, labelled, predicted, counted; the second class is never seen in the second image.
    images = np.int32([[[4, 0], [4, 0], [8, 0], [9, 9]], [[0, 0], [0, 0], [0, 0], [9, 0]]])
    for index in range(2):
        measure.add(images, index)
    found = measure.scores()
    a, b = found["per_image"]["classes"]
    assert (a["name"], b["name"]) == ("a", "b")
    assert a["iou"] == (0.5 if expected is None else (0.5 + expected) / 2)
    assert b["iou"] == b["dice"] == b["map10"] == expected
    assert (a["images"], b["images"]) == ((1, 0) if expected is None else (2, 1))
    known = [value for value in (a["iou"], b["iou"]) if value is not None]
    assert found["iou_per_image"] == pytest.approx(np.mean(known))
    assert found["per_image"]["empty_images"] == empty


def test_the_object_is_the_last_class_of_the_table():
    classes = ClassSet(("ground", "salt"), task="binary")
    measure = PerImage(TASKS["binary"], classes, EvalOptions())
    measure.add(np.int32([[[9], [9], [9], [20]]]), 0)
    assert measure.columns()[0].values == [None, 1.0]
