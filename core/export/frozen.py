"""The frozen graph: one GraphDef file, for images of any size, with the DeepLab family's nodes."""

from __future__ import annotations

import contextlib

from core.export import graph
from core.export.artifact import EXACT, Artifact, Job, outputs_of, tensor
from utils.compat import host_session, tf


def check_available(unused_options):
    """Every TensorFlow can write it."""


def write(job: Job) -> list:
    """Writes the file."""
    path = job.frozen_path
    save(graph.flexible(job.frozen, job.network, job.metadata), path)
    height, width = job.network.crop_size
    outputs = outputs_of(job.network, 1, None, None)
    outputs[graph.RAW_LABELS] = tensor("float32", 1, height, width)
    outputs[graph.RAW_PROBABILITIES] = tensor("float32", 1, height, width, job.network.num_classes)
    inputs = {graph.INPUT: tensor("uint8", 1, None, None, 3)}
    return [Artifact("frozen", path, True, EXACT, lambda: opened(path), inputs, outputs)]


def save(graph_def: tf.GraphDef, path: str):
    """Writes a graph to a file."""
    with open(path, "wb") as file:
        file.write(graph_def.SerializeToString(deterministic=True))


@contextlib.contextmanager
def opened(path: str):
    """Loads a frozen graph; gives a function from an image to labels and probabilities."""
    graph_def = tf.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph_def, name="")
        fetches = [f"{graph.LABELS}:0", f"{graph.PROBABILITIES}:0"]
        with host_session(loaded) as session:

            def run(image):
                labels, probabilities = session.run(fetches, {f"{graph.INPUT}:0": image[None]})
                return labels[0], probabilities[0]

            yield run
