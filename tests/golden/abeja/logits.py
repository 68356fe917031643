"""Recomputes a manifest of `abeja/logits/`: logits of both heads, labels, statistics of blocks."""

from __future__ import annotations

import pathlib

import numpy as np

from core import layers, network
from tests.golden import rules
from tests.golden.abeja import networks
from utils.compat import tf

# Name in the npz file -> name here.
NAMES = {"logits_out": "logits"}

# Resized logits and the input are stored for every eighth row and column.
STEP = 8


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    config = manifest["config"]
    spec = networks.spec_of(config)
    batch = rules.images(config["images"], folder / "photos.npz")
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, batch.shape)
        fetches = _fetches(images, spec, config["num_classes"])
        points = {name: _point(graph, name, spec) for name, _ in manifest.get("points", [])}
        with tf.Session() as session:
            networks.load_weights(session, spec, config.get("salt", ""))
            arrays, values = session.run([fetches, points], {images: batch})
    if values:
        arrays.update(_statistics([values[name] for name, _ in manifest["points"]]))
    return arrays


def _fetches(images, spec, num_classes) -> dict:
    size = images.shape.as_list()[1:3]
    outputs = network.build(
        images, spec, num_classes, layers.Mode(builds_auxiliary=True), crop_size=size
    )
    heads = {"out": outputs.logits}
    if "aux" in outputs.supervised:
        heads["aux"] = outputs.supervised["aux"][0]
    resized = {
        name: layers.resize_bilinear(logits, size, align_corners=False)
        for name, logits in heads.items()
    }
    return {
        **{NAMES.get(f"logits_{name}", f"logits_{name}"): heads[name] for name in heads},
        **{f"{name}_sample": resized[name][:, ::STEP, ::STEP] for name in heads},
        "labels": tf.cast(tf.argmax(resized["out"], 3), tf.uint8),
        "input_sample": network.backbone(spec.options).normalize(images)[:, ::STEP, ::STEP],
    }


def _point(graph, name, spec) -> tf.Tensor:
    """Returns what a module gives: the last feature map in its name scope."""
    scope = name.replace(".", "/") + "/"
    if scope.startswith("backbone/"):
        scope = network.backbone(spec.options).scope + scope[len("backbone") :]
    operations = graph.get_operations()
    if scope.endswith("/maxpool/"):
        found = [operation for operation in operations if operation.type == "MaxPool"]
    else:
        found = [
            operation
            for operation in operations
            if operation.name.startswith(scope)
            and operation.outputs
            and operation.outputs[0].shape.rank == 4
            and not operation.name[len(scope) :].startswith("weights")
        ]
    return found[-1].outputs[0]


def _statistics(values) -> dict:
    return {
        "point_mean": np.array([value.mean(dtype=np.float64) for value in values]),
        "point_std": np.array([value.std(dtype=np.float64) for value in values]),
        "point_sample": np.array([samples(value) for value in values], np.float32),
    }


def samples(value: np.ndarray) -> list:
    """Returns eight values of an array, evenly spread."""
    return [value.flat[index * (value.size - 1) // 7] for index in range(8)]
