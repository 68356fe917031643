"""A group of one process: the interface of `deployment/ranks/cluster.py`, with nothing to do."""

from __future__ import annotations

from utils.compat import tf


class SingleProcess:
    """One process that trains by itself.

    Attributes:
      rank: Number of this process.
      ranks: Number of processes.
      target: The target of sessions that train; empty for this process.
    """

    rank = 0
    ranks = 1
    target = ""

    def start(self, config: tf.ConfigProto):
        """Starts what the collectives need.

        Args:
          config: Of the sessions that train.
        """

    def stop(self):
        """Waits for the other ranks; after a failure, reports it to them instead."""

    def finish(self):
        """Waits until all ranks have finished work that must not be interrupted."""

    def configure(self, config: tf.ConfigProto):
        """Adds what collectives need to a session's configuration."""

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are averaged over all ranks."""
        return optimizer

    def average(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks."""
        return tensors

    def average_with_gradient(self, tensors: list) -> list:
        """Returns the differentiable means of float tensors over all ranks."""
        return tensors

    def hooks(self) -> list:
        """Returns the session hooks that give all ranks the same state, and check it."""
        return []

    def sum_over_ranks(self, array):
        """Returns the sum of a numpy array over all ranks."""
        return array

    def share(self, name: str, value):
        """Returns rank 0's value; `name` identifies it in messages."""
        del name
        return value

    def agree(self, name: str, facts: dict):
        """Raises UserError if the facts differ between ranks; `name` identifies them."""

    def gather(self, name: str, value) -> list:
        """Returns the values of all ranks by rank; `name` identifies them in messages."""
        del name
        return [value]

    def raise_failure(self):
        """Raises UserError if a rank failed, which may be the cause of an error on this rank."""
