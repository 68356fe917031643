"""Recomputes a manifest of `refinenet/logits/`: logits and statistics of each unit, both forms."""

from __future__ import annotations

import pathlib

import numpy as np

from core import network
from options.network import NetworkSpec
from tests.golden import rules as images_rules
from tests.golden.refinenet import rules
from utils.compat import tf

NAMES = {"corrected": "logits", "original": "original_logits"}
_PREFIXES = {"corrected": "", "original": "original_"}


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    config, arrays = manifest["config"], {}
    images = images_rules.images(manifest["images"], folder / "photos.npz")
    for form in rules.FORMS:
        spec = rules.spec_of(config, form)
        with tf.Graph().as_default() as graph:
            outputs = network.build(
                tf.constant(images), spec, len(config["classes"]), crop_size=images.shape[1:3]
            )
            points = points_of(graph, spec)
            with tf.Session() as session:
                rules.load_weights(session, spec, manifest.get("salt", ""))
                logits, values = session.run([outputs.logits, points])
        found = statistics(logits, [*values, logits], manifest.get("step", 1))
        arrays.update({_PREFIXES[form] + name: value for name, value in found.items()})
    return arrays


def points_of(graph: tf.Graph, spec: NetworkSpec) -> list:
    """Returns features, units and the resized output of the last block, in the golden order."""
    found = []
    for block, names in enumerate(spec.architecture.blocks):
        scope, inputs = f"block{block}", range(len(names) + bool(block))
        # The first ReLU of a residual unit sees the input.
        found += [
            graph.get_operation_by_name(f"{scope}/rcu{index}/Relu").inputs[0]
            for index in inputs[bool(block) :]
        ]
        units = [f"rcu{index}" for index in inputs] + [f"mrf/conv{index}" for index in inputs]
        for unit in (*units, "mrf", "crp", "rcu_final"):
            found.append(_last(graph, f"{scope}/{unit}/"))
    return [*found, graph.get_operation_by_name("head/Conv2D").inputs[0]]


def _last(graph, scope):
    """Returns the features that the last operation of a scope gives."""
    outputs = [
        operation.outputs[0]
        for operation in graph.get_operations()
        if operation.name.startswith(scope) and operation.outputs
    ]
    return [tensor for tensor in outputs if tensor.shape.rank == 4][-1]


def statistics(logits: np.ndarray, points, step: int) -> dict:
    """Returns the arrays of one form.

    Args:
      logits: [N, h, w, classes].
      points: The values of the points.
      step: Every so many rows and columns of the logits are kept.
    """
    return {
        "logits": logits[:, ::step, ::step],
        "statistics": np.array(
            [
                logits.mean(dtype=np.float64),
                logits.std(dtype=np.float64),
                logits.min(),
                logits.max(),
            ]
        ),
        "positive": (logits > 0).sum(axis=(0, 1, 2)),
        "point_mean": np.array([value.mean(dtype=np.float64) for value in points]),
        "point_std": np.array([value.std(dtype=np.float64) for value in points]),
        "point_sample": np.array([rules.samples(value) for value in points]),
    }


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    arrays = {}
    for form in rules.FORMS:
        if form in manifest:
            found = _stored_form(manifest[form])
            arrays.update({_PREFIXES[form] + name: value for name, value in found.items()})
    return arrays


def _stored_form(values: dict) -> dict:
    points = values["points"]
    return {
        "statistics": np.array([values[name] for name in ("mean", "std", "min", "max")]),
        "positive": np.array(values["positive"]),
        "point_mean": np.array([point[2] for point in points]),
        "point_std": np.array([point[3] for point in points]),
        "point_sample": np.array([point[4] for point in points]),
    }
