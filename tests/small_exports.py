"""Frozen graphs of small networks with rule-made weights, and what they return."""

import numpy as np

from core.export import graph
from core.export.artifact import Network
from options.averaging import Averaging
from options.network import NetworkSpec
from tests.golden import logits as golden_logits
from utils.classes import ClassSet, default_names
from utils.compat import tf

CLASSES = 5
CROP = (33, 41)
SMALL = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=16, output_stride=16)
NODES = (graph.LABELS, graph.PROBABILITIES, graph.RAW_LABELS, graph.RAW_PROBABILITIES)


def network(options=SMALL, crop=CROP, count=CLASSES, task="multiclass", **changes):
    """Returns what is exported."""
    settings = {
        "averaging": Averaging(),
        "pad_color": (127.5, 127.5, 127.5),
        "resize": None,
        **changes,
    }
    classes = ClassSet(default_names(count), task=task)
    return Network(options, classes, tuple(crop), **settings)


def freeze(exported, salt=""):
    """Returns the network as a graph of constants."""
    with tf.Graph().as_default(), tf.Session() as session:
        graph.build_live(exported)
        golden_logits.load_weights(session, salt)
        return graph.freeze(session)


def run_flexible(exported, frozen, *images):
    """Returns the outputs of a frozen graph for each image: name -> array."""
    fetches = {name: f"{name}:0" for name in NODES}
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph.flexible(frozen, exported, "{}"), name="")
        with tf.Session(graph=loaded) as session:
            return [
                session.run(fetches, {f"{graph.INPUT}:0": image[np.newaxis]}) for image in images
            ]
