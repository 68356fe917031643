"""Recomputes a manifest of `refinenet/train/`: losses, gradients and updates of five steps.

Arrays with one row per variable have them in the order of the golden README's names.
"""

from __future__ import annotations

import pathlib

import numpy as np

from core import network
from core.training import step as training
from deployment import backend
from options.config import Config
from options.device import DeviceOptions
from options.training import TRAINING_RECORDS
from tests.golden import rules as images_rules
from tests.golden.refinenet import rules
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

STEPS = 5
_NORMS = ("after1_norm", "after5_norm", "delta1_norm", "delta5_norm")


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    config = config_of(manifest)
    classes = ClassSet(tuple(manifest["config"]["classes"]), task="multilabel")
    images = images_rules.images(manifest["images"], folder / "photos.npz")
    labels = rules.labels(manifest["labels"])
    with tf.Graph().as_default():
        step = training.build(
            tf.constant(images),
            tf.constant(labels),
            config,
            classes=classes,
            backend=backend.create(DeviceOptions(device="cpu")),
        )
        inferred = network.build(
            tf.constant(images), config.spec, classes.count, crop_size=images.shape[1:3]
        )
        loss = tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(
                labels=tf.constant(labels, tf.float32), logits=inferred.logits
            )
        )
        with tf.Session() as session:
            session.run(tf.local_variables_initializer())
            rules.load_weights(session, config.spec, manifest.get("salt", ""))
            return _run(session, step, loss, config.spec)


def config_of(manifest: dict) -> Config:
    """Returns the network of a manifest and how it is trained.

    Raises:
      OptionError: If this project has no such loss or optimizer.
    """
    config = manifest["config"]
    if (config["loss"], config["loss_kwargs"]) != ("BinaryCrossentropy", {"from_logits": True}):
        raise OptionError(f"loss {config['loss']} {config['loss_kwargs']} cannot be recomputed.")
    options = {
        **_optimizer(config["optimizer"], dict(config["optimizer_kwargs"])),
        "weight_decay": 0.0,
        "bias_multiplier": 1.0,
        "fine_tune_batch_norm": manifest.get("batch_norm") == "batch statistics",
        "freeze": None if config.get("backbone_trainable", True) else ["backbone"],
    }
    spec = rules.spec_of(config, manifest.get("form", "corrected"))
    records = Config.create(TRAINING_RECORDS, options).records
    return Config.of(*spec.records, *records.values())


def _optimizer(name, settings) -> dict:
    """Returns the options of a Keras optimizer, whose rate is constant."""
    if name == "Adam":
        options = {
            "optimizer": "adam",
            "adam_learning_rate": settings.pop("learning_rate", 0.001),
            "adam_epsilon": settings.pop("epsilon", 1e-7),
        }
    elif name == "SGD":
        options = {
            "optimizer": "momentum",
            "base_learning_rate": settings.pop("learning_rate", 0.01),
            "momentum": settings.pop("momentum", 0.0),
            "learning_policy": "step",
            "learning_rate_decay_step": 10**9,
        }
    else:
        raise OptionError(f"optimizer {name} cannot be recomputed, only Adam and SGD.")
    if settings:
        raise OptionError(f"optimizer {name} with {', '.join(settings)} cannot be recomputed.")
    return options


def _run(session, step, loss_in_inference, spec) -> dict:
    """Runs the steps and returns the arrays."""
    variables = {rules.name_of(item, spec): item for item in network.variables()}
    variables = [variables[name] for name in sorted(variables)]
    gradients = {variable: gradient for gradient, variable in step.gradients}
    logits, before = session.run([step.logits, variables])
    known = {item: gradients[item] for item in variables if gradients.get(item) is not None}
    known = dict(zip(known, session.run(list(known.values()))))
    losses, after = [], []
    for _ in range(STEPS):
        losses.append(session.run(step.loss))
        session.run(step.train_op)
        after.append(session.run(variables))
    losses.append(session.run(step.loss))
    return {
        "logits_before": _described(logits),
        "step_loss": np.array(losses, np.float64),
        "loss_after_inference_mode": np.array(session.run(loss_in_inference), np.float64),
        "has_gradient": np.array([variable in known for variable in variables]),
        "grad_norm": np.array([_norm(known[item]) if item in known else 0.0 for item in variables]),
        "grad_sample": np.array(
            [rules.samples(known[item]) if item in known else [0.0] * 8 for item in variables]
        ),
        "after1_norm": np.array([_norm(value) for value in after[0]]),
        "after5_norm": np.array([_norm(value) for value in after[-1]]),
        "delta1_norm": _changes(before, after[0]),
        "delta5_norm": _changes(before, after[-1]),
    }


def _described(logits) -> np.ndarray:
    mean, deviation = logits.mean(dtype=np.float64), logits.std(dtype=np.float64)
    return np.array([mean, deviation, *rules.samples(logits)])


def _norm(value) -> float:
    return float(np.linalg.norm(np.asarray(value, np.float64).ravel()))


def _changes(before, after) -> np.ndarray:
    return np.array([_norm(new.astype(np.float64) - old) for old, new in zip(before, after)])


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    if "variables" not in manifest:
        return {}
    rows = [dict(zip(manifest["columns"], row)) for row in sorted(manifest["variables"])]
    mean, deviation, values = manifest["logits_before"]
    return {
        "logits_before": np.array([mean, deviation, *values]),
        "step_loss": np.array(manifest["step_loss"]),
        "loss_after_inference_mode": np.array(manifest["loss_after_inference_mode"]),
        "has_gradient": np.array([row["grad_norm"] is not None for row in rows]),
        "grad_norm": np.array([row["grad_norm"] or 0.0 for row in rows]),
        "grad_sample": np.array([row["grad_sample"] or [0.0] * 8 for row in rows]),
        **{name: np.array([row[name] for row in rows]) for name in _NORMS},
    }
