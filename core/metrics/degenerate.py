"""A check for predictions of one class everywhere."""

from __future__ import annotations

import numpy as np

# Share of all predicted pixels from which a class counts as the only one.
_PREDICTED = 0.99
# If nearly all labels are of that class too, the predictions may be right.
_LABELLED = 0.95


def describe(confusion, class_names) -> str | None:
    """Returns a description if nearly all pixels are predicted as one class, else None.

    Args:
      confusion: Integers [classes, classes], rows are labels, columns predictions.
      class_names: Names of the classes.

    Returns:
      Sentences with the likely causes, or None if predictions are not collapsed.
    """
    confusion = np.asarray(confusion, np.int64)
    total = confusion.sum()
    if not total:
        return None
    predicted = confusion.sum(axis=0) / total
    labelled = confusion.sum(axis=1) / total
    only = int(predicted.argmax())
    if predicted[only] < _PREDICTED or labelled[only] > _LABELLED:
        return None
    return (
        f"{100 * predicted[only]:.1f} % of the pixels are predicted as {class_names[only]}, which "
        f"{100 * labelled[only]:.1f} % of the labels are: the network predicts one class "
        "everywhere. Likely causes: batch-norm moving averages that do not match the data (a "
        "--batch_norm_decay too close to 1 for so few steps, or small batches), a learning rate "
        "that is too large, rare classes that need --label_weights, or too few steps."
    )
