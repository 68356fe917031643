"""Variables that a network was built with, but that none of its outputs depends on."""

from __future__ import annotations

from utils.compat import tf


def drop_unused(scope: str, outputs):
    """Takes the unused layers of a scope out of the graph's collections.

    An architecture may take features from the middle of a backbone. The layers after them are no
    part of the network then: they are not trained, not decayed and not saved. A layer, all
    variables in the same scope, is used if an output depends on one of them: batch norm that trains
    does not read its moving averages.

    Args:
      scope: Scope of the variables that may be dropped.
      outputs: Tensors, all that the network is built for.
    """
    inside = tf.model_variables(scope + "/")
    read = _ancestors([tensor.op for tensor in outputs])
    used = {_layer(variable.op.name) for variable in inside if variable.op in read}
    # Not by their layers: an optimizer's variables have names below those of the network's.
    unused = {item.op.name for item in inside if _layer(item.op.name) not in used}
    keys = tf.GraphKeys
    for key in (keys.GLOBAL_VARIABLES, keys.MODEL_VARIABLES, keys.TRAINABLE_VARIABLES):
        _filter(key, lambda variable: variable.op.name not in unused)

    # A second call adds updates of variables that are dropped already.
    def is_kept(name):
        return not name.startswith(scope + "/") or _layer(name) in used

    _filter(keys.UPDATE_OPS, lambda update: is_kept(update.updated_variable.op.name))
    _filter(
        keys.REGULARIZATION_LOSSES, lambda loss: is_kept(loss.op.name.split("/Regularizer/")[0])
    )


def _ancestors(operations) -> set:
    """Returns the operations and all those that they compute from."""
    found, left = set(), list(operations)
    while left:
        operation = left.pop()
        if operation not in found:
            found.add(operation)
            left.extend(tensor.op for tensor in operation.inputs)
    return found


def _layer(name: str) -> str:
    return name.rsplit("/", 1)[0]


def _filter(key, is_kept):
    collection = tf.get_collection_ref(key)
    collection[:] = [item for item in collection if is_kept(item)]
