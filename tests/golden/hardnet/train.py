"""Recomputes a manifest of `hardnet/train/`: five steps, then one more forward pass.

All is the product's: network, loss, gradients, batch norm, schedule, clipping and update.
"""

from __future__ import annotations

import pathlib

import numpy as np

from core import layers, network
from core.losses import Context, objective
from core.training import gradients as training_gradients
from core.training import updates
from core.training.optimizers import Settings
from options.loss import LossOptions
from options.optimizer import OptimizerOptions
from tests.golden import rules as images_of
from tests.golden.hardnet import losses, rules, schedules
from tests.golden.hardnet.rules import STEP
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
        self.update = _Update(params, trainable)


class _Update:
    """The update of the weights from gradients that are fed, with PyTorch's order of things.

    Everything decays, and gradients are clipped before they get their decay.
    """

    def __init__(self, params: dict, variables: dict):
        options = OptimizerOptions(**optimizer_options(params))
        self.rate, self.momentum = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        self.gradients = {
            name: tf.placeholder(tf.float32, variable.shape) for name, variable in variables.items()
        }
        pairs = [(self.gradients[name], variable) for name, variable in variables.items()]
        self.norm = training_gradients.global_norm(pairs)
        pairs = training_gradients.clip(pairs, self.norm, options)
        names = frozenset(variable.op.name for variable in variables.values())
        decoupled = options.has_decoupled_decay
        if options.weight_decay and not decoupled:
            l2 = layers.l2_regularizer(options.weight_decay)
            terms = {variable.op.name: l2(variable) for variable in variables.values()}
            pairs = training_gradients.with_terms(pairs, terms)
        self.has_momentum = bool(options.row.momentum)
        self.optimizer = updates.create(
            Settings(
                options,
                self.rate,
                self.momentum if self.has_momentum else None,
                decaying=names if decoupled else frozenset(),
            )
        )
        self.apply = self.optimizer.apply_gradients(pairs)
        self.slots = {
            name: [self.optimizer.get_slot(variable, slot) for slot in self.optimizer.slots()]
            for name, variable in variables.items()
        }
        self.start = tf.variables_initializer(self.optimizer.variables())


def optimizer_options(params: dict) -> dict:
    """Returns the product's options for PyTorch's optimizer and clipping."""
    given = params["optimizer_params"]
    is_sgd = params["optimizer"] == "sgd"
    momentum = given.get("momentum", 0.0)
    options = {
        "optimizer": ("momentum" if momentum else "sgd") if is_sgd else params["optimizer"],
        "weight_decay": given.get("weight_decay", 0.01 if params["optimizer"] == "adamw" else 0.0),
        "clip_gradient_norm": params.get("clip") or 0.0,
    }
    if is_sgd:
        return {**options, "momentum": momentum, "nesterov": given.get("nesterov", False)}
    beta1, beta2 = given.get("betas", (0.9, 0.999))
    return {
        **options,
        "adam_learning_rate": 0.0,
        "adam_beta1": beta1,
        "adam_beta2": beta2,
        "adam_epsilon": given.get("eps", 1e-8),
        "epsilon_placement": "corrected",
    }


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

    def start(self):
        """Sets the optimizer's variables to their first values."""
        self._session.run(self._graph.update.start)

    def update(self, gradients: dict, rate: float, momentum: float) -> float:
        """Updates the weights from gradients by entry, in PyTorch's order; returns their norm."""
        update = self._graph.update
        feed = {
            update.gradients[name]: rules.as_variable(value) for name, value in gradients.items()
        }
        feed.update({update.rate: rate, update.momentum: momentum})
        norm, _ = self._session.run([update.norm, update.apply], feed)
        return norm

    def slots(self) -> dict:
        """Returns the slots of each entry, in PyTorch's order."""
        found = self._session.run(self._graph.update.slots)
        return {name: [rules.as_entry(value) for value in values] for name, values in found.items()}


def _by_entry(values) -> dict:
    return {name: rules.as_entry(value) for name, value in values.items()}


def _train(run: _Run, manifest: dict) -> dict:
    config = manifest["config"]
    params, is_batch = config["params"], config["bn"] == "batch"
    rates = _rates(params)
    run.start()
    arrays, rows = {}, []
    for step in range(STEPS):
        part_losses, logits, gradients = run.forward_and_backward()
        rate, momentum = rates[step]
        rows.append((part_losses, rate, momentum, run.update(gradients, rate, momentum)))
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
    slots = run.slots()
    arrays["slot_norm"] = np.array(
        [rules.norms(slots[name]) for name in manifest.get("slots", slots)]
    )
    return {**arrays, **_readings(rows, run.losses(), _last_rate(params))}


def _rates(params) -> np.ndarray:
    """Returns [rate, momentum] of each update."""
    first = 1 if params.get("step_scheduler") == "before" else 0
    found = _table(params, range(first, first + STEPS))
    momentum = params["optimizer_params"].get("momentum", 0.0)
    is_cycled = params.get("scheduler", "") in ("CyclicLR", "OneCycleLR")
    if not is_cycled:
        found[:, 1] = momentum if params["optimizer"] == "sgd" else _beta1(params)
    return found


def _last_rate(params) -> float:
    """Returns the rate after the last update."""
    return _table(params, [STEPS])[0, 0]


def _table(params, steps) -> np.ndarray:
    name, arguments = params.get("scheduler"), params.get("scheduler_params", {})
    return schedules.table(name, steps, params["optimizer_params"]["lr"], arguments)


def _beta1(params) -> float:
    return params["optimizer_params"].get("betas", (0.9, 0.999))[0]


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
