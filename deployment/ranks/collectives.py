"""Sums, means and broadcasts over all ranks in the graph, with few messages.

Collectives of different ranks match by their numbers, which are counted up as graphs are built. So
all ranks must build the same collectives in the same order, and run the same ones in a session run.
"""

from __future__ import annotations

import itertools

from utils import compat
from utils.compat import tf

_GROUP = 1
# Tensors of at least this share of a bucket are sent separately: another message costs less than
# copying them into the bucket and out of it.
_SEPARATE_FROM = 1 / 8


class Collectives:
    """Builds collectives of one group of ranks."""

    def __init__(self, rank: int, ranks: int, bucket_bytes: int, device: str, hint: str = "auto"):
        """Makes the builder.

        Args:
          rank: This process.
          ranks: Number of processes, more than 1.
          bucket_bytes: Small tensors are combined into messages of about this size.
          device: Where the operations run, such as "/cpu:0".
          hint: "auto", "ring" or "nccl".
        """
        self._rank = rank
        self._ranks = ranks
        self._bucket_bytes = bucket_bytes
        self._device = device
        self._hint = hint
        self._numbers = itertools.count(1)

    def sum(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns the sum of a tensor [n] over all ranks."""
        return self._reduced(tensor, is_mean=False)

    def mean(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks, the same bits on each.

        A bucket is sent as soon as its tensors are computed, in parallel with the computation of
        the others.

        Args:
          tensors: Of static shapes, in the order in which they will be computed.
        """
        return self._in_buckets(tensors, lambda flat: self._reduced(flat, is_mean=True))

    def mean_with_gradient(self, tensors: list) -> list:
        """Returns the same, differentiable: the gradient is the mean of the ranks' gradients.

        Thus the mean of the gradients of each rank's own loss is the gradient of the mean loss.
        """

        @tf.custom_gradient
        def averaged(flat):
            return self._reduced(flat, is_mean=True), lambda up: self._reduced(up, is_mean=True)

        return self._in_buckets(tensors, averaged)

    def broadcast(self, variables) -> tf.Operation:
        """Returns the operation that assigns rank 0's values to variables."""
        values = [variable.read_value() for variable in variables]
        copies = self._in_buckets(values, self._broadcast)
        return tf.group(
            *(tf.assign(variable, copy).op for variable, copy in zip(variables, copies))
        )

    def _reduced(self, tensor, *, is_mean):
        with tf.device(self._device):
            # The operation needs an input on its device, so there is an identity.
            return compat.all_reduce(
                tf.identity(tensor),
                self._ranks,
                _GROUP,
                next(self._numbers),
                is_mean=is_mean,
                hint=self._hint,
            )

    def _broadcast(self, flat):
        with tf.device(self._device):
            return compat.broadcast(
                tf.identity(flat),
                self._ranks,
                _GROUP,
                next(self._numbers),
                sends=self._rank == 0,
                hint=self._hint,
            )

    def _in_buckets(self, tensors, function) -> list:
        """Applies an elementwise function to tensors, small ones combined."""
        results = [None] * len(tensors)
        for places in buckets(tensors, self._bucket_bytes):
            if len(places) == 1:
                results[places[0]] = function(tensors[places[0]])
                continue
            flat = [tf.reshape(tensors[place], [-1]) for place in places]
            sizes = [tensors[place].shape.num_elements() for place in places]
            with tf.device(self._device):
                pieces = tf.split(function(tf.concat(flat, 0)), sizes)
            for place, piece in zip(places, pieces):
                results[place] = tf.reshape(piece, tensors[place].shape)
        return results


def buckets(tensors, limit: int) -> list:
    """Returns the indices of tensors in groups of one type, each of at most `limit` bytes.

    A tensor of at least an eighth of that has its own group. Within a group the order is kept.

    Args:
      tensors: Anything with static `shape` and `dtype`.
      limit: Bytes.
    """
    groups, open_groups = [], {}
    for place, tensor in enumerate(tensors):
        size = tensor.shape.num_elements() * tensor.dtype.size
        if size >= limit * _SEPARATE_FROM:
            groups.append([place])
            continue
        group, filled = open_groups.get(tensor.dtype.base_dtype, (None, 0))
        if group is None or filled + size > limit:
            group, filled = [], 0
            groups.append(group)
        group.append(place)
        open_groups[tensor.dtype.base_dtype] = group, filled + size
    return groups


class AveragingOptimizer(tf.train.Optimizer):
    """An optimizer whose gradients are means over all ranks."""

    def __init__(self, optimizer: tf.train.Optimizer, collectives: Collectives):
        super().__init__(use_locking=False, name="Averaging")
        self._optimizer = optimizer
        self._collectives = collectives

    def compute_gradients(self, loss, var_list=None, **settings):
        """Returns (gradient, variable) pairs; the gradients of all ranks have the same bits."""
        pairs = self._optimizer.compute_gradients(loss, var_list, **settings)
        # The backward pass reaches the variables in about the reverse of their order.
        places = [place for place in reversed(range(len(pairs))) if pairs[place][0] is not None]
        means = self._collectives.mean([tf.convert_to_tensor(pairs[place][0]) for place in places])
        averaged = dict(zip(places, means))
        return [(averaged.get(place), variable) for place, (_, variable) in enumerate(pairs)]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Applies gradients with the wrapped optimizer."""
        return self._optimizer.apply_gradients(grads_and_vars, global_step=global_step, name=name)

    def get_slot(self, var, name):
        """Returns a slot of the wrapped optimizer."""
        return self._optimizer.get_slot(var, name)

    def variables(self) -> list:
        """Returns the variables of the wrapped optimizer."""
        return self._optimizer.variables()
