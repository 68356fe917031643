"""Binary cross entropy equals its definition."""

import numpy as np
import pytest

from tests.small_losses import (
    IGNORE,
    classes_of,
    loss_and_gradient,
    random_labels,
    random_logits,
)

BINARY, MULTILABEL = classes_of("binary"), classes_of("multilabel")


def element_losses(logits, labels):
    """Returns the cross entropy of each target in float64, 0 for ignored ones."""
    probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    losses = -np.log(np.where(labels == 1, probabilities, 1.0 - probabilities))
    return np.where(labels == IGNORE, 0.0, losses)


@pytest.mark.parametrize("classes", [BINARY, MULTILABEL], ids=["binary", "multilabel"])
def test_the_loss_is_the_mean_over_the_targets_that_count(classes):
    logits, labels = random_logits(classes), random_labels(classes)
    labels[0, 1, :3] = IGNORE
    loss, gradient = loss_and_gradient(logits, labels, classes)
    counted = (labels != IGNORE).sum()
    assert loss == pytest.approx(element_losses(logits, labels).sum() / counted, rel=1e-6)
    probabilities = 1.0 / (1.0 + np.exp(-logits))
    expected = np.where(labels == IGNORE, 0.0, probabilities - labels) / counted
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_weights_of_a_binary_task_are_those_of_background_and_object():
    logits, labels = random_logits(BINARY), random_labels(BINARY)
    loss, _ = loss_and_gradient(logits, labels, BINARY, label_weights=(0.5, 3.0))
    weighted = element_losses(logits, labels) * np.array([0.5, 3.0])[labels]
    assert loss == pytest.approx(weighted.mean(), rel=1e-6)


def test_weights_of_labels_are_those_of_their_channel():
    logits, labels = random_logits(MULTILABEL), random_labels(MULTILABEL)
    weights = (0.5, 1.0, 2.0, 0.0)
    loss, _ = loss_and_gradient(logits, labels, MULTILABEL, label_weights=weights)
    weighted = element_losses(logits, labels) * np.array(weights)
    assert loss == pytest.approx(weighted.mean(), rel=1e-6)


def test_the_hardest_targets_are_mined():
    logits, labels = random_logits(MULTILABEL), random_labels(MULTILABEL)
    loss, gradient = loss_and_gradient(logits, labels, MULTILABEL, top_k_percent_pixels=0.25)
    hardest = np.sort(element_losses(logits, labels).ravel())[-labels.size // 4 :]
    assert loss == pytest.approx(hardest.mean(), rel=1e-6)
    assert np.count_nonzero(gradient) == labels.size // 4


def test_a_binary_label_that_is_no_class_is_ignored():
    logits, labels = random_logits(BINARY), random_labels(BINARY)
    labels[0, 0] = IGNORE
    ignored, _ = loss_and_gradient(logits, labels, BINARY)
    labels[0, 0] = 2
    assert loss_and_gradient(logits, labels, BINARY)[0] == pytest.approx(ignored, rel=1e-6)


def test_large_logits_have_a_finite_loss():
    logits = np.full([1, 1, 2, 1], 500.0, np.float32)
    labels = np.array([[[[0], [1]]]], np.int32)
    loss, gradient = loss_and_gradient(logits, labels, BINARY)
    assert loss == pytest.approx(250.0)
    assert gradient[0, 0, :, 0].tolist() == [0.5, 0.0]
