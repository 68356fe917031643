"""Weights of the DeepLab family: tf-slim checkpoints and frozen graphs, whose names are ours."""

from __future__ import annotations

import os

from core.checkpoints import names, restore
from core.checkpoints.convert import Network, Source
from core.checkpoints.convert.refinenet import OBJECT_GRAPH
from utils.compat import tf


def _fits(path: str) -> bool:
    if os.path.isfile(path):
        return bool(_constants(path))
    return OBJECT_GRAPH not in restore.shapes(path)


def _constants(path: str) -> dict:
    """Returns name -> tensor proto of the constants of a graph; empty if a file is none."""
    graph = tf.GraphDef()
    with open(path, "rb") as file:
        content = file.read()
    try:
        graph.ParseFromString(content)
    except Exception:  # protobuf's DecodeError differs between its implementations.
        return {}
    return {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}


def convert(path: str, network: Network) -> tuple:
    """Returns arrays by variable, and the names of those that are left; see `Source`."""
    if os.path.isfile(path):
        constants = _constants(path)
        found = {
            name: tf.make_ndarray(constants[name]) for name in network.shapes if name in constants
        }
        return found, []
    stored = [name for name in restore.shapes(path) if names.is_of_network(name)]
    opened = restore.reader(path)
    with restore.reading(path):
        found = {name: opened.get_tensor(name) for name in stored if name in network.shapes}
    return found, [name for name in stored if name not in found and name != names.GLOBAL_STEP]


VARIANTS = {
    "deeplab": Source(
        description="checkpoint (prefix of its files) or frozen graph of the DeepLab family",
        fits=_fits,
        convert=convert,
    )
}
