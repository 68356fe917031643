"""Gradient checkpointing: residual units are computed again in the backward pass.

Of each unit only the input is kept; what lies inside is computed a second time when its gradient is
due. Source: arXiv 1604.06174. It costs nearly one forward pass; docs/performance.md has figures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from typing import Callable

from utils.compat import slim, tf

_GRADIENT = "DeeplabRecomputedUnit"

# Graph -> name of the operation that ends a unit -> the unit.
_UNITS = weakref.WeakKeyDictionary()


def unit(function, inputs: tf.Tensor, *arguments, recompute: bool):
    """Returns function(inputs, *arguments), whose insides are computed again if asked for.

    Args:
      function: Builds a part of the network from float tensors and variables only, the same each
        time; returns a tensor or a tuple of tensors.
      inputs: The float tensor, of any shape, that the part starts from.
      *arguments: Further arguments, no tensors.
      recompute: Whether the insides are computed again for the gradient.
    """
    if not recompute:
        return function(inputs, *arguments)
    graph = tf.get_default_graph()
    built_before = len(graph.get_operations())
    outputs = function(inputs, *arguments)
    variables = _variables_read(graph.get_operations()[built_before:])
    is_tuple = isinstance(outputs, tuple)
    outputs = list(outputs) if is_tuple else [outputs]
    # Gradients go around the unit's operations: from here on only this one leads to the outputs.
    tensors = [*outputs, inputs, *(variable.value() for variable in variables)]
    with graph.gradient_override_map({"IdentityN": _GRADIENT}):
        passed = tf.identity_n(tensors)[: len(outputs)]
    with slim.arg_scope([]) as arg_scope:
        _UNITS.setdefault(graph, {})[passed[0].op.name] = _Unit(
            lambda again: function(again, *arguments),
            variables,
            tf.get_variable_scope(),
            arg_scope,
        )
    return tuple(passed) if is_tuple else passed[0]


def _variables_read(operations) -> list:
    """Returns the trainable variables that operations read."""
    variables = {variable.value().name: variable for variable in tf.trainable_variables()}
    names = [tensor.name for operation in operations for tensor in operation.inputs]
    return [variables[name] for name in dict.fromkeys(names) if name in variables]


@dataclasses.dataclass(frozen=True)
class _Unit:
    """What it takes to build a unit again.

    Attributes:
      function: From the input to the outputs.
      variables: The trainable variables that it reads.
      variable_scope: The variable scope that it was built in.
      arg_scope: tf-slim's arg scope that it was built in.
    """

    function: Callable
    variables: list
    variable_scope: tf.VariableScope
    arg_scope: dict

    def build_again(self, inputs) -> list:
        with slim.arg_scope(self.arg_scope), tf.variable_scope(
            self.variable_scope, reuse=True, auxiliary_name_scope=False
        ), _without_updates():
            outputs = self.function(inputs)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]


@tf.RegisterGradient(_GRADIENT)
def _gradients(operation, *gradients):
    """Returns no gradient for the unit's own outputs, but those of its input and variables."""
    part = _UNITS[operation.graph][operation.name]
    count = len(gradients) - 1 - len(part.variables)
    # Without this dependency TensorFlow would compute the unit again right away, or see that it is
    # there already, and keep it.
    with tf.control_dependencies(gradients[:count]):
        inputs = tf.identity(operation.inputs[count])
    outputs = part.build_again(inputs)
    reads = [variable.value() for variable in part.variables]
    found = tf.gradients(outputs, [inputs, *reads], grad_ys=list(gradients[:count]))
    return [None] * count + found


@contextlib.contextmanager
def _without_updates():
    """Leaves the collection of batch norm's updates as it is: a step makes each of them once."""
    updates = tf.get_collection_ref(tf.GraphKeys.UPDATE_OPS)
    before = len(updates)
    yield
    del updates[before:]
