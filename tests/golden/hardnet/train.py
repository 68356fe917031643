"""Recomputes a manifest of `hardnet/train/`: five steps, then one more forward pass.

Network, loss, gradients and batch norm are the product's; schedule and update are the original's,
whose optimizers let everything decay.
"""

from __future__ import annotations

import pathlib

import numpy as np

from core import layers, network
from core.losses import Context, objective
from options.loss import LossOptions
from tests.golden import rules as images_of
from tests.golden.hardnet import losses, rules, schedules
from tests.golden.hardnet.rules import STEP
from tests.golden.hardnet.updates import Optimizer
from utils.classes import ClassSet, default_names
from utils.compat import tf

STEPS = 5
_IN_MANIFEST = ("step_loss", "step_learning_rate", "step_momentum", "step_grad_norm")
_COUNTER = "num_batches_tracked"


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    arrays = {name: np.array(manifest[name]) for name in _IN_MANIFEST if name in manifest}
    if "step_loss_parts" in manifest:
        arrays["step_loss_parts"] = _parts(manifest["step_loss_parts"])
    return arrays


def _parts(rows) -> np.ndarray:
    return np.array([list(row.values()) for row in rows])


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package `tests.golden`."""
    config = manifest["config"]
    images = images_of.images(config["images"], folder / "photos.npz")
    labels = np.stack([images_of.label_map(*item)[..., 0] for item in config["labels"]])
    parts = config["params"].get("accumulate", 1)
    with tf.Graph().as_default():
        graph = _Graph(config, [len(images) // parts, *images.shape[1:]])
        with tf.Session() as session:
            rules.load_weights(session, config.get("salt", ""))
            run = _Run(session, graph, np.split(images, parts), np.split(labels, parts))
            return _train(run, manifest)


class _Graph:
    """The network for one part of a batch, its loss, gradients and variables by entry."""

    def __init__(self, config: dict, shape):
        params = config["params"]
        ignore_label = config["labels"][0][4]
        self.images = tf.placeholder(tf.float32, shape)
        self.labels = tf.placeholder(tf.int32, shape[:3])
        mode = layers.Mode(is_training=True, fine_tune_batch_norm=config["bn"] == "batch")
        channels = config.get("num_classes", rules.CLASSES)
        outputs = network.build(self.images, rules.SPEC, channels, mode, crop_size=shape[1:3])
        self.logits = layers.resize_bilinear(outputs.logits, shape[1:3], align_corners=True)
        text = losses.expression_of(params["loss"], params.get("loss_params", {}))
        self.loss = objective.build(
            outputs.supervised,
            self.labels[..., tf.newaxis],
            ClassSet(default_names(channels), ignore_label=ignore_label),
            Context(LossOptions(loss=text)),
        )
        self.variables = {rules.entry_of(item.op.name): item for item in tf.model_variables()}
        trainable = {rules.entry_of(item.op.name): item for item in tf.trainable_variables()}
        self.gradients = dict(zip(trainable, tf.gradients(self.loss, list(trainable.values()))))
        self.updates = tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS))


class _Run:
    """A session that runs the graph on the parts of a batch, and sets its weights."""

    def __init__(self, session, graph: _Graph, images, labels):
        self._session, self._graph = session, graph
        self._feeds = [
            {graph.images: part, graph.labels: label} for part, label in zip(images, labels)
        ]

    def forward_and_backward(self) -> tuple:
        """Returns the losses of the parts, the first one's logits, and mean gradients by entry.

        Batch norm's statistics move, where they do in this run.
        """
        graph = self._graph
        fetches = [graph.loss, graph.logits, graph.gradients, graph.updates]
        found = [self._session.run(fetches, feed) for feed in self._feeds]
        gradients = {
            name: np.mean([row[2][name] for row in found], axis=0) for name in graph.gradients
        }
        return [row[0] for row in found], found[0][1], _by_entry(gradients)

    def losses(self) -> list:
        """Returns the losses of the parts."""
        return [self._session.run(self._graph.loss, feed) for feed in self._feeds]

    def entries(self) -> dict:
        """Returns all variables by entry, in PyTorch's order."""
        return _by_entry(self._session.run(self._graph.variables))

    def assign(self, values: dict):
        """Sets variables by entry, from PyTorch's order."""
        for name, value in values.items():
            self._graph.variables[name].load(rules.as_variable(value), self._session)


def _by_entry(values) -> dict:
    return {name: rules.as_entry(value) for name, value in values.items()}


def _train(run: _Run, manifest: dict) -> dict:
    config = manifest["config"]
    params, is_batch = config["params"], config["bn"] == "batch"
    optimizer = Optimizer(params["optimizer"], **params["optimizer_params"])
    arrays, rows = {}, []
    for step in range(STEPS):
        part_losses, logits, gradients = run.forward_and_backward()
        norm = np.linalg.norm(rules.norms(gradients.values()))
        rate, momentum = _rate(params, optimizer, step + (params.get("step_scheduler") == "before"))
        rows.append((part_losses, rate, momentum, norm))
        weights = run.entries()
        run.assign(
            optimizer.update(
                {name: weights[name] for name in gradients},
                _clipped(gradients, norm, params.get("clip")),
                rate,
                momentum,
            )
        )
        if step == 0:
            listed_names = manifest.get("gradients", [(name, 0) for name in gradients])
            listed = [gradients[name] for name, _ in listed_names]
            arrays["train_out_sample"] = logits[:, ::STEP, ::STEP]
            arrays["grad_norm"], arrays["grad_sample"] = rules.norms(listed), rules.samples(listed)
        if step in (0, STEPS - 1):
            counted = (step + 1) * params.get("accumulate", 1) if is_batch else 0
            entries = run.entries()
            names = manifest.get("state", entries)
            arrays.update(_state(f"after{step + 1}", entries, names, counted))
    arrays["slot_norm"] = np.array(
        [rules.norms(optimizer.slots[name]) for name in manifest.get("slots", optimizer.slots)]
    )
    last, _ = _rate(params, optimizer, STEPS)
    return {**arrays, **_readings(rows, run.losses(), last)}


def _rate(params, optimizer, steps) -> tuple:
    return schedules.at(
        params.get("scheduler"),
        steps,
        optimizer.rate,
        optimizer.momentum,
        params.get("scheduler_params", {}),
    )


def _clipped(gradients, norm, limit) -> dict:
    factor = np.float32(1.0 if limit is None else min(1.0, limit / (norm + 1e-6)))
    return {name: gradient * factor for name, gradient in gradients.items()}


def _state(prefix, entries, names, counted) -> dict:
    values = [np.array(counted) if name.endswith(_COUNTER) else entries[name] for name in names]
    return {f"{prefix}_norm": rules.norms(values), f"{prefix}_sample": rules.samples(values)}


def _readings(rows, last_losses, last_rate) -> dict:
    parts = np.array([row[0] for row in rows] + [last_losses], np.float64)
    return {
        "step_loss": parts.mean(axis=1),
        "step_loss_parts": parts,
        "step_learning_rate": np.array([[row[1]] for row in rows] + [[last_rate]]),
        "step_momentum": np.array([[row[2]] for row in rows]),
        "step_grad_norm": np.array([row[3] for row in rows]),
    }
