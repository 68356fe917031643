"""Losses of regions equal their definitions in arrays."""

import numpy as np
import pytest

from core import task as tasks
from tests.small_losses import (
    IGNORE,
    all_losses,
    blocks,
    classes_of,
    loss_and_gradient,
    random_logits,
)

SIZE = (2, 9, 12)
WEIGHTS = (0.5, 2.0, 3.0, 1.0)


def probabilities_of(logits, classes):
    logits = logits.astype(np.float64)
    if classes.task != "multiclass":
        return 1.0 / (1.0 + np.exp(-logits))
    powers = np.exp(logits)
    return powers / powers.sum(axis=3, keepdims=True)


def values_of(labels, classes):
    if classes.task == "multiclass":
        return (labels == np.arange(classes.count)).astype(np.float64)
    return (labels == 1).astype(np.float64)


def weights_of(labels, classes, label_weights):
    """Returns the weight of each target in its region."""
    counted = (labels != IGNORE).astype(np.float64)
    if label_weights is None or classes.task == "multilabel":
        return counted
    return counted * np.array(label_weights)[np.where(labels == IGNORE, 0, labels)]


def expected(formula, logits, labels, classes, over, label_weights=None):
    """Returns the mean of 1 - formula(TP, sum y, sum p, sum p^2) by classes and groups."""
    y, p = values_of(labels, classes), probabilities_of(logits, classes)
    w = np.broadcast_to(weights_of(labels, classes, label_weights), p.shape)
    class_weights = np.ones(p.shape[3])
    if classes.task == "multilabel" and label_weights is not None:
        class_weights = np.array(label_weights)
    groups = [slice(None)] if over == "batch" else [slice(n, n + 1) for n in range(len(y))]
    of_groups = []
    for group in groups:
        losses = []
        for c in range(p.shape[3]):
            yc, pc, wc = y[group, ..., c], p[group, ..., c], w[group, ..., c]
            if not wc.any() or (classes.task == "multiclass" and not (wc * yc).any()):
                continue
            sums = (wc * yc * pc).sum(), (wc * yc).sum(), (wc * pc).sum(), (wc * pc * pc).sum()
            losses.append(class_weights[c] * (1.0 - formula(*sums)))
        if losses:
            of_groups.append(np.mean(losses))
    return np.mean(of_groups)


FORMULAS = {
    "dice": lambda tp, y, p, pp: (2 * tp + 1) / (y + p + 1),
    "dice(smooth=0.25,squared=true)": lambda tp, y, p, pp: (2 * tp + 0.25) / (y + pp + 0.25),
    "jaccard": lambda tp, y, p, pp: (tp + 1) / (y + p - tp + 1),
    "iou": lambda tp, y, p, pp: tp / (y + p - tp),
    "tversky": lambda tp, y, p, pp: (tp + 1) / (tp + 0.3 * (p - tp) + 0.7 * (y - tp) + 1),
    "tversky(alpha=2,beta=0.5,smooth=3)": lambda tp, y, p, pp: (
        (tp + 3) / (tp + 2 * (p - tp) + 0.5 * (y - tp) + 3)
    ),
    "f1": lambda tp, y, p, pp: 2 * (tp / p) * (tp / y) / (tp / p + tp / y),
    "f1(beta=2)": lambda tp, y, p, pp: 5 * (tp / p) * (tp / y) / (4 * tp / p + tp / y),
}


def text_of(name, over):
    return name[:-1] + f",over={over})" if name.endswith(")") else f"{name}(over={over})"


@pytest.mark.parametrize("task", tasks.TASKS)
@pytest.mark.parametrize("label_weights", [None, WEIGHTS])
def test_the_loss_is_that_of_the_sums_of_classes_and_groups(task, label_weights):
    classes = classes_of(task)
    label_weights = label_weights and label_weights[: classes.count]
    logits, labels = random_logits(classes, 0, SIZE), blocks(classes, 1, SIZE)
    labels[0, :4] = IGNORE
    # Class 3 is absent in the second image.
    if task == "multiclass":
        labels[1][labels[1] == 3] = 0
    settings = {"label_weights": label_weights} if label_weights else {}
    cases = {text_of(name, over): (name, over) for name in FORMULAS for over in ("batch", "image")}
    found = all_losses(logits, labels, classes, tuple(cases), **settings)
    for text, (name, over) in cases.items():
        value = expected(FORMULAS[name], logits, labels, classes, over, label_weights)
        assert found[text][0] == pytest.approx(value, rel=1e-5), text


def test_an_image_without_targets_has_no_part_in_the_mean_of_images():
    classes = classes_of("binary")
    logits, labels = random_logits(classes, 0, SIZE), blocks(classes, 1, SIZE)
    labels[1] = IGNORE
    both, _ = loss_and_gradient(logits, labels, classes, loss="dice(over=image)")
    alone, _ = loss_and_gradient(logits[:1], labels[:1], classes, loss="dice")
    assert both == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky"])
def test_an_absent_object_is_learned_where_channels_stand_alone(name, task):
    classes = classes_of(task)
    logits = random_logits(classes, 0, SIZE)
    labels = np.zeros_like(blocks(classes, 1, SIZE))
    loss, gradient = loss_and_gradient(logits, labels, classes, loss=name)
    assert loss > 0.9
    assert (gradient > 0).all()


@pytest.mark.parametrize("name", ["iou", "f1"])
def test_without_smoothing_an_absent_object_costs_one_if_it_is_predicted(name):
    classes = classes_of("binary")
    labels = np.zeros([1, 3, 4, 1], np.int32)
    for logit, cost in ((0.0, 1.0), (-1e4, 0.0)):
        logits = np.full([1, 3, 4, 1], logit, np.float32)
        loss, gradient = loss_and_gradient(logits, labels, classes, loss=name)
        assert loss == cost
        assert not gradient.any()


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_right_answer_costs_nothing(task):
    classes = classes_of(task)
    labels = blocks(classes, 1, SIZE)
    logits = np.float32(1e4 * (2 * values_of(labels, classes) - 1))
    names = ("dice", "jaccard", "iou", "tversky", "f1", "lovasz", "boundary", "l2", "focal")
    for name, (loss, _) in all_losses(logits, labels, classes, names).items():
        assert loss == pytest.approx(0.0, abs=1e-6), name


def test_false_negatives_cost_more_with_a_larger_beta():
    classes = classes_of("binary")
    logits, labels = random_logits(classes, 0, SIZE) - 2.0, blocks(classes, 1, SIZE)
    names = ("tversky(alpha=0.3,beta=0.7)", "tversky(alpha=0.7,beta=0.3)")
    missed, found = (loss for loss, _ in all_losses(logits, labels, classes, names).values())
    assert missed > found
