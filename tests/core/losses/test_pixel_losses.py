"""Focal loss, squared error, label smoothing and reductions equal their definitions."""

import numpy as np
import pytest

from core import task as tasks
from tests.core.losses.test_regions import probabilities_of, values_of
from tests.small_losses import (
    IGNORE,
    all_losses,
    blocks,
    classes_of,
    loss_and_gradient,
    random_logits,
)

WEIGHTS = (0.5, 2.0, 3.0, 1.0)


def example(task):
    """Returns classes, logits, labels, targets, probabilities, and which targets count."""
    classes = classes_of(task)
    logits, labels = 2.0 * random_logits(classes, size=(2, 9, 12)), blocks(classes)
    labels[0, 2] = IGNORE
    y, p = values_of(labels, classes), probabilities_of(logits, classes)
    return classes, logits, labels, y, p, labels != IGNORE


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (3.5, 0.75), (0.0, 0.5)])
@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_focal_loss_of_yes_or_no(task, gamma, alpha):
    classes, logits, labels, y, p, counted = example(task)
    losses = y * alpha * (1 - p) ** gamma * -np.log(p)
    losses += (1 - y) * (1 - alpha) * p**gamma * -np.log(1 - p)
    text = f"focal(gamma={gamma},alpha={alpha})"
    loss, _ = loss_and_gradient(logits, labels, classes, loss=text)
    assert loss == pytest.approx(losses[counted].mean(), rel=1e-5)


@pytest.mark.parametrize("gamma", [2.0, 0.5, 0.0])
def test_focal_loss_of_exclusive_classes(gamma):
    classes, logits, labels, y, p, counted = example("multiclass")
    right = (y * p).sum(axis=3)[counted[..., 0]]
    loss, _ = loss_and_gradient(logits, labels, classes, loss=f"focal(gamma={gamma})")
    assert loss == pytest.approx(((1 - right) ** gamma * -np.log(right)).mean(), rel=1e-5)


@pytest.mark.parametrize("task", ["multiclass", "binary"])
def test_focal_loss_has_a_bounded_slope_where_the_answer_is_right(task):
    classes, logits, labels, y, _, _ = example(task)
    logits = np.float32(1e4 * (2 * y - 1))
    loss, gradient = loss_and_gradient(logits, labels, classes, loss="focal(gamma=0.5)")
    assert loss == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("task", tasks.TASKS)
def test_squared_errors(task):
    classes, logits, labels, y, p, counted = example(task)
    losses = np.square(y - p)
    if task == "multiclass":
        losses = losses.sum(axis=3, keepdims=True)
    loss, _ = loss_and_gradient(logits, labels, classes, loss="l2")
    assert loss == pytest.approx(losses[counted].mean(), rel=1e-5)


def test_label_smoothing_shares_a_part_of_the_target_among_all_classes():
    classes, logits, labels, y, p, counted = example("multiclass")
    target = 0.8 * y + 0.2 / 4
    losses = -(target * np.log(p)).sum(axis=3)[counted[..., 0]]
    text = "cross_entropy(label_smoothing=0.2)"
    loss, gradient = loss_and_gradient(logits, labels, classes, loss=text)
    assert loss == pytest.approx(losses.mean(), rel=1e-5)
    slope = np.where(counted, p - target, 0.0) / counted.sum()
    np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_label_smoothing_leaves_labels_that_are_no_class_alone():
    classes, logits, labels, *_ = example("multiclass")
    labels[0, 0] = 7
    names = ("cross_entropy", "cross_entropy(label_smoothing=0.2)")
    found = all_losses(logits, labels, classes, names)
    (_, plain), (_, smoothed) = (found[name] for name in names)
    np.testing.assert_allclose(smoothed[0, 0], plain[0, 0], atol=1e-8)
    assert np.abs(smoothed[0, 1] - plain[0, 1]).max() > 1e-4


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_label_smoothing_draws_a_yes_or_no_to_the_middle(task):
    classes, logits, labels, y, p, counted = example(task)
    target = 0.8 * y + 0.1
    losses = -target * np.log(p) - (1 - target) * np.log(1 - p)
    text = "binary_cross_entropy(label_smoothing=0.2)"
    loss, _ = loss_and_gradient(logits, labels, classes, loss=text)
    assert loss == pytest.approx(losses[counted].mean(), rel=1e-5)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_reductions_divide_by_number_weights_or_nothing(task):
    classes, logits, labels, _, _, counted = example(task)
    weights = WEIGHTS[: classes.count]
    name = "cross_entropy" if task == "multiclass" else "binary_cross_entropy"
    names = tuple(f"{name}(reduction={how})" for how in ("sum", "mean", "weighted_mean"))
    found = all_losses(logits, labels, classes, names, label_weights=weights)
    total, mean, weighted = (found[name][0] for name in names)
    of_targets = (
        np.array(weights)
        if task == "multilabel"
        else np.array(weights)[np.where(counted, labels, 0)]
    )
    assert total / mean == pytest.approx(counted.sum(), rel=1e-5)
    assert total / weighted == pytest.approx((counted * of_targets).sum(), rel=1e-5)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_bootstrapped_cross_entropy_of_each_image(task):
    classes, logits, labels, y, p, counted = example(task)
    weights = np.array(WEIGHTS[: classes.count])
    losses = -np.log(np.where(y == 1, p, 1 - p)) * (weights if task == "multilabel" else 1.0)
    if task == "multiclass":
        losses = -np.log((y * p).sum(axis=3, keepdims=True) + ~counted)
    if task != "multilabel":
        losses = losses * weights[np.where(counted, labels, 0)]
    rows = np.sort((losses * counted).reshape(2, -1), axis=1)[:, ::-1]
    for k, threshold in ((10, 0.5), (10, 1e3), (10**6, 0.5)):
        expected = np.mean(
            [
                row[row > threshold].mean()
                if k < row.size and row[k] > threshold
                else row[:k].mean()
                for row in rows
            ]
        )
        text = f"bootstrapped_cross_entropy(k={k},threshold={threshold})"
        settings = {"label_weights": tuple(weights)}
        loss, _ = loss_and_gradient(logits, labels, classes, loss=text, **settings)
        assert loss == pytest.approx(expected, rel=1e-5)
