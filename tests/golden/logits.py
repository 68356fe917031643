"""Recomputes a manifest of `logits/`: logits, labels, probabilities, statistics of blocks."""

from __future__ import annotations

import pathlib
import re

import numpy as np

from core import network
from core.architectures import MERGED, Outputs
from core.inference import tta
from options.network import NetworkSpec
from tests.golden import rules
from utils.compat import tf

# Probabilities are stored for every eighth row and column.
STEP = 8

DEFAULT_CLASSES = 21


def options_of(config: dict, folder: pathlib.Path) -> NetworkSpec:
    """Returns the network of a manifest's `config`.

    Raises:
      OptionError: If a flag is no option of the network, or refused.
    """
    flags = {"image_pyramid": config.get("pyramid")}
    flags.update(config["flags"])
    cell = flags.get("dense_prediction_cell_json")
    if cell:
        flags["dense_prediction_cell_json"] = str(folder / cell)
    return NetworkSpec.from_dict(
        dict(
            flags,
            model_variant=config["variant"],
            output_stride=config["output_stride"],
            atrous_rates=config["rates"],
        )
    )


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    config = manifest["config"]
    options = options_of(config, folder)
    crop_size = config["crop"]
    num_classes = config.get("num_classes", DEFAULT_CLASSES)
    batch = rules.images(config["images"], folder / "photos.npz")
    with tf.Graph().as_default() as graph:
        # Without a crop size the network takes any image: its graph must not know the size.
        shape = batch.shape if crop_size else (None, None, None, 3)
        images = tf.placeholder(tf.float32, shape)
        settings = {"crop_size": crop_size}
        prediction = tta.predict(images, options, num_classes, **settings)
        fetches = _logits(network.build(images, options, num_classes, **settings))
        if not config.get("logits_only"):
            fetches["labels"] = tf.cast(prediction.labels, tf.uint8)
            fetches["prob"] = prediction.probabilities[:, ::STEP, ::STEP]
        points = _find_points(graph, manifest.get("points", []), options)
        for index, (scales, flip) in enumerate(config.get("multi_scale", [])):
            fetches.update(
                _multi_scale(f"ms{index}", images, options, num_classes, scales, flip, crop_size)
            )
        with tf.Session() as session:
            load_weights(session, config.get("salt", ""))
            arrays = session.run(fetches, {images: batch})
            if points:
                values = session.run(
                    [tensor for tensor in points if tensor is not None], {images: batch}
                )
                arrays.update(_statistics(points, values))
    return arrays


def _logits(outputs: Outputs) -> dict:
    return {
        "logits" if name == MERGED else f"logits_{name}": tensor
        for name, (tensor, _) in outputs.supervised.items()
    }


def _multi_scale(prefix, images, options, num_classes, scales, flip, crop_size) -> dict:
    prediction = tta.predict(
        images, options, num_classes, scales=scales, flip=flip, crop_size=crop_size
    )
    mean = prediction.probabilities
    return {
        f"{prefix}_labels": tf.cast(prediction.labels, tf.uint8),
        f"{prefix}_mean_of_probs": mean[:, ::STEP, ::STEP],
        # The reference's second softmax: stored, though it is a defect.
        f"{prefix}_prob": tf.nn.softmax(mean)[:, ::STEP, ::STEP],
    }


def load_weights(session: tf.Session, salt: str = ""):
    """Initializes the variables of the session's graph, by rule where there is one."""
    variables = tf.global_variables()
    values = {}
    for variable in variables:
        value = rules.variable_value(variable.op.name, variable.shape.as_list(), salt)
        if value is not None:
            values[variable.initializer.inputs[1]] = value
    session.run([variable.initializer for variable in variables], values)


def _find_points(graph, points, options) -> list:
    """Returns the tensor of each point, or None where the graph has none."""
    operations = graph.get_operations()
    return [_find_point(graph, operations, point, options) for point in points]


def _find_point(graph, operations, point, options):
    name, channels = point["name"], point["shape"][-1]
    if name == "features" or name.startswith("op:"):
        return graph.get_tensor_by_name(name.split(":")[-1] + ":0")
    scope = _scope_of(name, operations, options) + "/"
    for operation in reversed(operations):
        if operation.name.startswith(scope) and operation.outputs:
            shape = operation.outputs[0].shape
            if shape.rank == 4 and shape.as_list()[3] == channels:
                return operation.outputs[0]
    return None


def _scope_of(name, operations, options) -> str:
    """Returns the name scope of an end point; the reference numbers a MobileNet's as layers."""
    match = re.match(r"layer_(\d+)(?:/(\w+))?$", name)
    if not match:
        return name
    scope, number = network.backbone(options.options).scope, int(match.group(1)) - 2
    block = f"{scope}/expanded_conv_{number}" if number else f"{scope}/expanded_conv"
    if number < 0:
        block = f"{scope}/Conv"
    elif not any(operation.name.startswith(block + "/") for operation in operations):
        block = f"{scope}/Conv_1"
    part = {"expansion_output": "/expand", "depthwise_output": "/depthwise"}.get(match.group(2), "")
    return block + part


def _statistics(points, values) -> dict:
    values = iter(values)
    means, deviations, samples = [], [], []
    for tensor in points:
        value = np.full(1, np.nan, np.float32) if tensor is None else next(values)
        means.append(value.mean(dtype=np.float64))
        deviations.append(value.std(dtype=np.float64))
        samples.append([value.flat[index * (value.size - 1) // 7] for index in range(8)])
    return {
        "point_mean": np.array(means),
        "point_std": np.array(deviations),
        "point_sample": np.array(samples, np.float32),
    }
