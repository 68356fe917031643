"""A group of one process: what `deployment/ranks/cluster.py` does, where there is nothing to do."""

from __future__ import annotations

from utils.compat import tf


class Alone:
    """One process that trains by itself.

    Attributes:
      rank: Number of this process.
      ranks: Number of processes.
      target: Where sessions that train are made; empty in this process.
    """

    rank = 0
    ranks = 1
    target = ""

    def join(self):
        """Waits until all ranks are there."""

    def start(self, config: tf.ConfigProto):
        """Starts what the collectives need.

        Args:
          config: Of the sessions that train.
        """

    def stop(self):
        """Waits for the other ranks; behind a failure it tells them."""

    def finish(self):
        """Waits until all ranks are done with what must not be broken off."""

    def configure(self, config: tf.ConfigProto):
        """Sets in the configuration of a session what collectives need."""

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are averaged over all ranks."""
        return optimizer

    def average(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks."""
        return tensors

    def average_with_gradient(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks, to be differentiated."""
        return tensors

    def hooks(self) -> list:
        """Returns the session hooks that make all ranks start alike, and keep them so."""
        return []

    def sum_over_ranks(self, array):
        """Returns the sum of a numpy array over all ranks."""
        return array

    def share(self, name: str, value):
        """Returns the value that rank 0 has; name says what it is."""
        del name
        return value

    def agree(self, name: str, facts: dict):
        """Raises UserError if the ranks have different facts; name says what they are."""

    def gather(self, name: str, value) -> list:
        """Returns the values of all ranks, in their order; name says what they are."""
        del name
        return [value]

    def raise_failure(self):
        """Raises UserError if a rank failed, so that an error here has its cause there."""
