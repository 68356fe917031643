"""Recomputes a manifest of `hardnet/logits/`: logits, flips, statistics, the folded network."""

from __future__ import annotations

import pathlib

import numpy as np

from core import layers, network
from core.export import folding
from tests.golden import rules as images_of
from tests.golden.hardnet import rules
from tests.golden.hardnet.rules import STEP
from utils.compat import tf

# Name in the npz file -> in what is recomputed.
NAMES = {"logits_out": "logits"}


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package `tests.golden`."""
    config = manifest["config"]
    batch = images_of.images(config["images"], folder / "photos.npz")
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, batch.shape, name="images")
        fetches = _fetches(images, config)
        points = [_find_point(graph, *point) for point in manifest.get("points", [])]
        with tf.Session() as session:
            rules.load_weights(session, config.get("salt", ""))
            arrays, values = session.run([fetches, points], {images: batch})
            arrays.update(_statistics(values))
            if config.get("fold"):
                arrays.update(_folded(session, manifest, batch, arrays["labels"]))
    return arrays


def _fetches(images, config) -> dict:
    channels = config.get("num_classes", rules.CLASSES)
    logits = network.build(images, rules.SPEC, channels).logits
    tf.identity(logits, "logits")
    normalized = network.backbone(rules.SPEC.options).normalize(images)
    resized = _resized(logits, images)
    mirrored = network.build(tf.reverse(images, [2]), rules.SPEC, channels).logits
    mean = (resized + tf.reverse(_resized(mirrored, images), [2])) / 2.0
    return {
        "logits": logits,
        "input_sample": normalized[:, ::STEP, ::STEP],
        "out_sample": resized[:, ::STEP, ::STEP],
        "labels": tf.cast(tf.argmax(resized, 3), tf.uint8),
        "flip_sample": mean[:, ::STEP, ::STEP],
        "flip_labels": tf.cast(tf.argmax(mean, 3), tf.uint8),
    }


def _resized(logits, images):
    return layers.resize_bilinear(logits, layers.spatial_size(images), align_corners=True)


def _find_point(graph, name, shape):
    """Returns the output of a module of the original: the last one of its scope and shape."""
    scope = name.replace(".", "/") + "/"
    scopes = (scope, f"{rules.BACKBONE}/{scope}")
    found = [
        output
        for operation in graph.get_operations()
        if operation.name.startswith(scopes)
        for output in operation.outputs[:1]
        if output.shape.rank == 4 and output.shape.as_list() == shape
    ]
    return found[-1]


def _statistics(values) -> dict:
    if not values:
        return {}
    return {
        "point_mean": np.array([value.mean(dtype=np.float64) for value in values]),
        "point_std": np.array([value.std(dtype=np.float64) for value in values]),
        "point_sample": rules.samples(values),
    }


def _folded(session, manifest, batch, labels) -> dict:
    """Returns what is stored of the network without batch norms, folded as an export does it."""
    frozen = tf.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), ["logits"]
    )
    folded = folding.fold_batch_norms(frozen, ["logits"])
    constants = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in folded.node
        if node.op == "Const"
    }
    names = [name for name, _ in manifest.get("folded", [])]
    entries = [rules.as_entry(constants[_folded_name(name)]) for name in names]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(folded, name="")
        images = graph.get_tensor_by_name("images:0")
        logits = graph.get_tensor_by_name("logits:0")
        fetches = [logits, tf.argmax(_resized(logits, images), 3)]
        with tf.Session(graph=graph) as other:
            logits, folded_labels = other.run(fetches, {images: batch})
    return {
        "folded_logits_out": logits,
        "folded_norm": rules.norms(entries),
        "folded_sample": rules.samples(entries),
        "folded_labels_equal": np.array(np.mean(folded_labels == labels)),
    }


def _folded_name(entry: str) -> str:
    """Returns the constant of an entry such as `base.0.0.weight`, where batch norm was folded in.

    The classifier has no batch norm; its entry is `finalConv.weight`.
    """
    *modules, kind = entry.split(".")
    is_kernel = kind == "weight"
    if modules == ["finalConv"]:
        return f"finalConv/{'weights' if is_kernel else 'biases'}"
    scope = "/".join(modules[:-1])
    scope = f"{rules.BACKBONE}/{scope}" if modules[0] == "base" else scope
    return (
        f"{scope}/conv/Conv2D/folded_kernel"
        if is_kernel
        else f"{scope}/norm/FusedBatchNormV3/shift"
    )
