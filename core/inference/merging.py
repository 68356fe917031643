"""How the probabilities of several runs of an image become one.

`mean` is the arithmetic mean. `gmean` is the geometric mean, normalized to probabilities again:
with probabilities p_1 to p_n of a class, g = (p_1 ... p_n)^(1/n) divided by the sum of g over the
classes, and in tasks of yes or no by g plus the same of the complements 1 - p. That is the
activation of the mean of the logits, which is how it is computed: products would underflow. It is
known as the logarithmic opinion pool (Genest and Zidek, "Combining Probability Distributions",
Statistical Science 1986, section 3).

All runs have the same weight, so the mean of means, of checkpoints that each average scales and
flips, is the mean over all of them, in both forms.
"""

from __future__ import annotations

import numpy as np

from core.task import Task
from options.averaging import GEOMETRIC_MEAN
from utils.compat import tf


class Merger:
    """Adds up the probabilities of the runs of an image, tensors [N, h, w, channels]."""

    def __init__(self, average: str, task: Task):
        """Starts with no run.

        Args:
          average: One of `options.averaging.AVERAGES`.
          task: The task.
        """
        self._is_geometric = average == GEOMETRIC_MEAN
        self._task = task
        self._total = None
        self._runs = 0

    def add(self, probabilities: tf.Tensor):
        """Adds a run."""
        part = self._task.logits_of(probabilities) if self._is_geometric else probabilities
        self._total = part if self._total is None else self._total + part
        self._runs += 1

    def result(self) -> tf.Tensor:
        """Returns the probabilities of all runs together, float32."""
        mean = self._total / float(self._runs)
        return self._task.activate(mean) if self._is_geometric else mean


def merged(parts, average: str, task: Task) -> np.ndarray:
    """Returns what `Merger` gives, of arrays [..., channels]."""
    if len(parts) == 1:
        return parts[0]
    is_geometric = average == GEOMETRIC_MEAN
    if is_geometric:
        parts = [task.logits_of(part, np) for part in parts]
    mean = sum(parts[1:], parts[0]) / np.float32(len(parts))
    return task.activate_array(mean) if is_geometric else mean
