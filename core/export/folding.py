"""Folds batch norm into the convolutions before it, in a frozen graph.

At inference batch norm is a factor and a shift per channel. The factor goes into the kernel, the
shift becomes a bias: `norm(conv(x, w)) = conv(x, w * factor) + shift`. Both are computed in double
precision, so that the results differ by rounding only. The graph is changed as data (GraphDef) and
the same way on every TensorFlow.
"""

from __future__ import annotations

import numpy as np

from utils.compat import tf

_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
# What may stand between a convolution and its batch norm: it moves values but does not mix them.
# An atrous depthwise convolution ends with BatchToSpaceND.
_CARRIERS = ("BatchToSpaceND", "Identity")


def fold_batch_norms(graph_def: tf.GraphDef, outputs) -> tf.GraphDef:
    """Returns the graph without batch norms, and without nodes that the outputs do not need.

    A batch norm that no convolution of its own precedes becomes a multiplication and an addition.

    Args:
      graph_def: A frozen inference graph: kernels and batch-norm parameters are constants.
      outputs: Names of the nodes to keep.

    Raises:
      ValueError: If a batch norm uses batch statistics, or its parameters are not constants.
    """
    folded = tf.GraphDef()
    folded.CopyFrom(graph_def)
    graph = _Graph(folded)
    for node in list(folded.node):
        if node.op in _BATCH_NORMS:
            _fold(graph, node)
    return tf.graph_util.extract_sub_graph(folded, list(outputs))


class _Graph:
    """A GraphDef with what folding asks of it: nodes by name, their users, constants."""

    def __init__(self, graph_def: tf.GraphDef):
        self.graph_def = graph_def
        self.nodes = {node.name: node for node in graph_def.node}
        self.uses = {}
        for node in graph_def.node:
            for name in node.input:
                if not name.startswith("^"):
                    self.uses[_node_name(name)] = self.uses.get(_node_name(name), 0) + 1
        # (kernel, factor) -> name of the folded kernel: scales that share weights share it too.
        self.kernels = {}

    def source(self, name: str):
        """Returns the node that an input comes from."""
        return self.nodes[_node_name(name)]

    def constant(self, name: str) -> np.ndarray:
        """Returns the value of an input that is a constant, possibly through identities."""
        node = self.source(name)
        while node.op == "Identity":
            node = self.source(node.input[0])
        if node.op != "Const":
            raise ValueError(f"{node.name} is a {node.op}, but must be a constant: freeze first.")
        return tf.make_ndarray(node.attr["value"].tensor)

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Adds a float32 constant; returns its name."""
        node = self.graph_def.node.add()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(np.float32)))
        return name


def _node_name(name: str) -> str:
    return name.lstrip("^").split(":")[0]


def _fold(graph: _Graph, norm):
    if norm.attr["is_training"].b:
        raise ValueError(f"{norm.name} uses batch statistics; build the graph for inference.")
    gamma, beta, mean, variance = [
        graph.constant(name).astype(np.float64) for name in norm.input[1:5]
    ]
    factor = gamma / np.sqrt(variance + norm.attr["epsilon"].f)
    shift = graph.add_constant(f"{norm.name}/shift", beta - mean * factor)
    convolution = _own_convolution(graph, norm)
    if convolution is None:
        inputs = _add_multiplication(graph, norm, factor)
    else:
        convolution.input[1] = _folded_kernel(graph, convolution, factor)
        inputs = norm.input[0]
    controls = [name for name in norm.input if name.startswith("^")]
    norm.op = "BiasAdd"
    norm.ClearField("attr")
    norm.attr["T"].type = tf.float32.as_datatype_enum
    del norm.input[:]
    norm.input.extend([inputs, shift, *controls])


def _own_convolution(graph: _Graph, norm):
    """Returns the convolution whose output goes to this batch norm alone, or None."""
    name = norm.input[0]
    while graph.uses[_node_name(name)] == 1:
        node = graph.source(name)
        if node.op in _CONVOLUTIONS:
            return node
        if node.op not in _CARRIERS:
            return None
        name = node.input[0]
    return None


def _folded_kernel(graph: _Graph, convolution, factor: np.ndarray) -> str:
    key = (convolution.input[1], factor.tobytes())
    if key not in graph.kernels:
        kernel = graph.constant(convolution.input[1])
        if convolution.op == "DepthwiseConv2dNative":
            # [height, width, channels, multiplier]; output channels run over the last two.
            factor = factor.reshape(kernel.shape[2:])
        name = f"{convolution.name}/folded_kernel"
        graph.kernels[key] = graph.add_constant(name, kernel.astype(np.float64) * factor)
    return graph.kernels[key]


def _add_multiplication(graph: _Graph, norm, factor: np.ndarray) -> str:
    node = graph.graph_def.node.add()
    node.name, node.op = f"{norm.name}/scaled", "Mul"
    node.attr["T"].type = tf.float32.as_datatype_enum
    node.input.extend([norm.input[0], graph.add_constant(f"{norm.name}/factor", factor)])
    return node.name
