"""A check of predictions that say the same everywhere."""

from __future__ import annotations

import numpy as np

# Share of all pixels that one class must have among the predictions to be called their only one.
_PREDICTED = 0.99
# With labels that are nearly all of that class the predictions may well be right.
_LABELLED = 0.95


def describe(confusion, class_names) -> str | None:
    """Returns what is wrong where nearly all pixels are predicted as one class, else None.

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
        f"{100 * labelled[only]:.1f} % of the labels are: the network says the same everywhere. "
        "Likely causes: moving averages of batch norm that are not those of the data (a "
        "--batch_norm_decay too close to 1 for so few steps, or small batches), a learning rate "
        "that is too large, classes so rare that they need --label_weights, or too few steps yet."
    )
