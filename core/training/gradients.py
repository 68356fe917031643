"""Gradients between the loss and the optimizer: accumulation, weight decay, clipping.

The order is: gradients of each batch, their mean over the batches of a step, the mean over ranks
(by the backend), weight decay, the norm, clipping, multipliers. So clipping sees the gradient of
the loss of the whole step, whatever the multipliers, and all ranks clip by the same norm.
"""

from __future__ import annotations

from typing import NamedTuple

from options.optimizer import OptimizerOptions
from utils.compat import add_control_input, tf


class Part(NamedTuple):
    """One of the batches of a step.

    Attributes:
      images: Its share of the step's images; everything computed from it depends on this tensor.
      loss: float32 scalar, its loss.
    """

    images: tf.Tensor
    loss: tf.Tensor


class GradientAccumulation(tf.train.Optimizer):
    """Computes the gradients of several batches one after the other, and their sum.

    Each batch waits for the gradients of the one before, so a step needs the memory of one batch.
    It behaves like the optimizer that it wraps: a backend that averages gradients over ranks, or
    scales the loss, sees one loss and one set of gradients per step.
    """

    def __init__(self, optimizer: tf.train.Optimizer, parts):
        """Makes the optimizer.

        Args:
          optimizer: The optimizer to wrap.
          parts: The batches of the step, each a `Part`.
        """
        super().__init__(use_locking=False, name="GradientAccumulation")
        self._optimizer = optimizer
        self._parts = parts

    def compute_gradients(self, loss, var_list=None, grad_loss=None, **settings):
        """Returns (gradient, variable) pairs of a scalar function of the batches' losses.

        Args:
          loss: The function's value.
          var_list: Variables; None for all trainable ones.
          grad_loss: Gradient with respect to `loss`, None for 1.
          **settings: For the wrapped optimizer.
        """
        factors = tf.gradients(loss, [part.loss for part in self._parts], grad_ys=grad_loss)
        variables = tf.trainable_variables() if var_list is None else var_list
        sums = [None] * len(variables)
        for part, factor in zip(self._parts, factors):
            known = [value for value in sums if value is not None]
            if known:
                add_control_input(part.images.op, tf.group(*known))
            pairs = self._optimizer.compute_gradients(
                part.loss, variables, grad_loss=factor, **settings
            )
            sums = [_sum(value, gradient) for value, (gradient, _) in zip(sums, pairs)]
        return list(zip(sums, variables))

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Applies gradients with the wrapped optimizer."""
        return self._optimizer.apply_gradients(grads_and_vars, global_step=global_step, name=name)

    def get_slot(self, var, name):
        """Returns a slot of the wrapped optimizer."""
        return self._optimizer.get_slot(var, name)


def _sum(first, second):
    if first is None or second is None:
        return second if first is None else first
    return first + second


def with_terms(gradients, terms: dict) -> list:
    """Adds the gradients of further terms of the loss, each of one variable.

    A term's gradient is computed once the gradient that it is added to is there. It depends on
    nothing but its variable, so it would otherwise be computed first and kept: another copy of the
    weights. All terms are differentiated at once, since each call walks through the whole graph.

    Args:
      gradients: (gradient, variable) pairs; None counts as zero.
      terms: Variable name -> scalar.
    """
    own = _gradients_of_terms([pair for pair in gradients if pair[1].op.name in terms], terms)
    return [
        (_sum(gradient, own.get(variable.op.name)), variable) for gradient, variable in gradients
    ]


def _gradients_of_terms(pairs, terms: dict) -> dict:
    """Returns variable name -> gradient of its term, computed after the gradient in its pair."""
    factors = []
    for gradient, _ in pairs:
        with tf.control_dependencies([] if gradient is None else [gradient]):
            factors.append(tf.constant(1.0))
    variables = [variable for _, variable in pairs]
    names = [variable.op.name for variable in variables]
    found = tf.gradients([terms[name] for name in names], variables, grad_ys=factors)
    return dict(zip(names, found))


def split(tensor: tf.Tensor, parts: int) -> list:
    """Splits a batch into equal batches, in order.

    Args:
      tensor: [parts * N, ...].
      parts: The number of batches.
    """
    if parts == 1:
        return [tensor]
    size = tensor.shape.as_list()[0] // parts
    return [tensor[index * size : (index + 1) * size] for index in range(parts)]


def global_norm(gradients) -> tf.Tensor:
    """Returns the Euclidean norm over all gradients together, a float32 scalar.

    Args:
      gradients: (gradient, variable) pairs; None counts as zero.
    """
    return tf.global_norm([gradient for gradient, _ in gradients])


def clip(gradients, norm: tf.Tensor, options: OptimizerOptions) -> list:
    """Returns the pairs with clipped gradients.

    By norm all are scaled by one factor, so that their norm is at most the limit (arXiv 1211.5063,
    section 3.2); by value each element is.

    Args:
      gradients: (gradient, variable) pairs; None stays.
      norm: Their `global_norm`, a float32 scalar.
      options: The limits; 0 does not clip.
    """
    if options.clip_gradient_norm:
        factor = options.clip_gradient_norm / tf.maximum(norm, options.clip_gradient_norm)
        return _each(lambda gradient: gradient * factor, gradients)
    limit = options.clip_gradient_value
    if limit:
        return _each(lambda gradient: tf.maximum(tf.minimum(gradient, limit), -limit), gradients)
    return list(gradients)


def _each(change, gradients) -> list:
    return [
        (None if gradient is None else change(gradient), variable)
        for gradient, variable in gradients
    ]
