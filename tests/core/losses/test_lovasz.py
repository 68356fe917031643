"""Lovász losses equal the extension of the Jaccard loss as a set function."""

import numpy as np
import pytest

from core import task as tasks
from tests.core.losses.test_regions import probabilities_of, values_of, weights_of
from tests.small_losses import IGNORE, all_losses, blocks, classes_of, random_logits

SIZE = (2, 6, 7)
WEIGHTS = (0.5, 2.0, 3.0, 1.0)


def jaccard_loss(wrong, values, weights):
    """Returns 1 - IoU of a mask that is wrong at the given pixels."""
    kept = (weights * values * ~wrong).sum()
    union = (weights * (values.astype(bool) | wrong)).sum()
    return 0.0 if union == 0 else 1.0 - kept / union


def extension(errors, values, weights):
    """Returns the sum of errors times how the loss grows as pixels become wrong, one by one."""
    total, before = 0.0, 0.0
    wrong = np.zeros(errors.size, bool)
    for place in np.argsort(-errors, kind="stable"):
        wrong[place] = True
        after = jaccard_loss(wrong, values, weights)
        total += errors[place] * (after - before)
        before = after
    return total


def expected(logits, labels, classes, over, label_weights):
    y, p = values_of(labels, classes), probabilities_of(logits, classes)
    w = np.broadcast_to(weights_of(labels, classes, label_weights), p.shape)
    errors = np.abs(y - p)
    if classes.task != "multiclass":
        errors = np.maximum(0.0, 1.0 - logits.astype(np.float64) * (2 * y - 1))
    class_weights = np.ones(p.shape[3])
    if classes.task == "multilabel" and label_weights is not None:
        class_weights = np.array(label_weights)
    groups = [slice(None)] if over == "batch" else [slice(n, n + 1) for n in range(len(y))]
    of_groups = []
    for group in groups:
        parts = [
            [array[group, ..., c].ravel() for array in (errors, y, w)] for c in range(p.shape[3])
        ]
        losses = [
            class_weights[c] * extension(*part)
            for c, part in enumerate(parts)
            if part[2].any() and (classes.task != "multiclass" or (part[1] * part[2]).any())
        ]
        of_groups.append(np.mean(losses))
    return np.mean(of_groups)


@pytest.mark.parametrize("task", tasks.TASKS)
@pytest.mark.parametrize("label_weights", [None, WEIGHTS])
def test_the_loss_is_the_extension_of_the_jaccard_loss(task, label_weights):
    classes = classes_of(task)
    label_weights = label_weights and label_weights[: classes.count]
    logits, labels = 2.0 * random_logits(classes, 0, SIZE), blocks(classes, 1, SIZE)
    labels[0, :2] = IGNORE
    if task == "multiclass":
        labels[1][labels[1] == 3] = 0
    names = {f"lovasz(over={over})": over for over in ("batch", "image")}
    settings = {"label_weights": label_weights} if label_weights else {}
    found = all_losses(logits, labels, classes, tuple(names), **settings)
    for name, over in names.items():
        value = expected(logits, labels, classes, over, label_weights)
        assert found[name][0] == pytest.approx(value, rel=1e-5), name


def test_wrong_answers_without_doubt_cost_the_jaccard_loss():
    classes = classes_of("multiclass")
    labels = blocks(classes, 1, SIZE)
    answer = blocks(classes, 2, SIZE)
    logits = np.float32(1e4 * (answer == np.arange(4)))
    ((loss, _),) = all_losses(logits, labels, classes, ("lovasz",)).values()
    losses = [
        jaccard_loss((labels == c) ^ (answer == c), labels == c, np.ones(labels.shape))
        for c in range(4)
        if (labels == c).any()
    ]
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
