"""Recomputes a manifest of `train/`: losses, gradients and updates of the first training steps."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from unittest import mock

import numpy as np

from core import layers
from core import network as networks
from core.training import groups
from core.training import step as train
from deployment import backend
from options.config import Config
from options.device import DeviceOptions
from options.training import TRAINING_RECORDS
from tests.golden import logits as golden_logits
from tests.golden import rules
from utils.classes import ClassSet, default_names
from utils.compat import tf
from utils.errors import OptionError, UserError

STEPS = 5
IGNORE_LABEL = 255
DEEPLAB = networks.ARCHITECTURES["deeplab"]
_DROPOUT_SEED = 77


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    config = manifest["config"]
    options = options_of(config, folder)
    images = rules.images(config["images"], folder / "photos.npz")
    height, width = images.shape[1:3]
    num_classes = config.get("num_classes", golden_logits.DEFAULT_CLASSES)
    ignore_label = config.get("ignore_label", IGNORE_LABEL)
    labels = rules.labels(
        [["labels", seed, height, width] for seed in config["labels"]], num_classes, ignore_label
    )
    with tf.Graph().as_default(), dropout(config.get("dropout", "identity")):
        step = train.build(
            tf.constant(images),
            tf.constant(labels),
            options,
            classes=ClassSet(default_names(num_classes), ignore_label=ignore_label),
            backend=backend.create(DeviceOptions(device="cpu")),
        )
        with tf.Session() as session:
            session.run(tf.local_variables_initializer())
            golden_logits.load_weights(session, config.get("salt", ""))
            set_global_step(session, step.global_step, config.get("start_step", 0))
            return _run(session, step, manifest, options.optimizer)


def options_of(config: dict, folder: pathlib.Path) -> Config:
    """Returns the options of a manifest's `config`.

    Raises:
      OptionError: If a flag is no option, or refused.
    """
    of_training = {
        field.name for record in TRAINING_RECORDS for field in dataclasses.fields(record)
    }
    flags = {**config["flags"], **config["train"]}
    network = {name: value for name, value in flags.items() if name not in of_training}
    training = {name: value for name, value in flags.items() if name in of_training}
    spec = golden_logits.options_of(dict(config, flags=network), folder)
    records = Config.create(TRAINING_RECORDS, training).records
    return Config.of(*spec.records, *records.values())


@contextlib.contextmanager
def dropout(kind: str):
    """Replaces the dropout of the graphs that are built inside by one without random numbers.

    Args:
      kind: "identity", or "mask" for the golden numbers' fixed mask.

    Raises:
      OptionError: If the kind is unknown.
    """
    replacements = {"identity": lambda inputs, *_: inputs, "mask": _masked}
    if kind not in replacements:
        raise OptionError(f"dropout is {kind}, but must be one of {', '.join(replacements)}.")
    with mock.patch.object(layers, "dropout", replacements[kind]):
        yield


def _masked(inputs, keep_prob, mode):
    if not mode.is_training:
        return inputs
    drawn = np.random.RandomState(_DROPOUT_SEED).uniform(size=inputs.shape.as_list())
    return inputs * tf.constant((drawn < keep_prob).astype(np.float32)) / keep_prob


def set_global_step(session: tf.Session, global_step, value: int):
    """Sets the global step."""
    session.run(global_step.initializer, {global_step.initializer.inputs[1]: value})


def _run(session, step, manifest, options) -> dict:
    """Runs the steps and returns the arrays."""
    gradients = {variable.op.name: gradient for gradient, variable in step.gradients}
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    trainable = _listed(gradients, manifest, "trainable")
    network = _listed(variables, manifest, "model_variables")
    slots = _listed(variables, manifest, "momentum_slots")

    train_logits, gradient_values = session.run([step.logits, trainable])
    readings = [session.run(_step_fetches(step, manifest))]
    session.run(step.train_op)
    after1 = session.run(network)
    for _ in range(STEPS - 1):
        readings.append(session.run(_step_fetches(step, manifest)))
        session.run(step.train_op)
    readings.append(session.run(_step_fetches(step, manifest)))
    arrays = {
        "train_logits": train_logits,
        "grad_norm": _norms(gradient_values),
        "grad_sample": _samples(gradient_values),
        "grad_multiplier": np.array(
            [groups.gradient_multiplier(name, options, DEEPLAB) for name in manifest["trainable"]]
        ),
        "after1_norm": _norms(after1),
        "after1_sample": _samples(after1),
        "after5_norm": _norms(session.run(network)),
        "momentum_norm": _norms(session.run(slots)),
    }
    for name in readings[0]:
        arrays[name] = np.array([reading[name] for reading in readings], np.float64)
    return arrays


def _listed(by_name, manifest, key) -> list:
    """Returns what belongs to the names that a manifest lists.

    Raises:
      UserError: If the network does not have one of them.
    """
    missing = [name for name in manifest[key] if name not in by_name]
    if missing:
        raise UserError(f"{key}: the network has no {missing[0]} ({len(missing)} are missing).")
    return [by_name[name] for name in manifest[key]]


def _step_fetches(step, manifest) -> dict:
    """Returns the tensors that are read before each step."""
    losses = tf.losses.get_losses()
    each = {loss.op.name.split("/")[0][len("loss_") :]: loss for loss in losses}
    return {
        "step_loss": step.loss,
        "step_reg_loss": step.reg_loss,
        "step_total_loss": step.total_loss,
        "step_learning_rate": step.learning_rate,
        "step_each_loss": [each[_scale_of(name)] for name in manifest["losses"]],
    }


def _scale_of(loss_name: str) -> str:
    """Returns the name of the output of a loss, which the reference names after its scope."""
    scope = loss_name.split("/")[0]
    return "merged" if scope.endswith("merged_logits") else scope.rsplit("_", 1)[-1]


def _norms(values) -> np.ndarray:
    return np.array([np.linalg.norm(value.astype(np.float64).ravel()) for value in values])


def _samples(values) -> np.ndarray:
    return np.array(
        [[value.flat[index * (value.size - 1) // 7] for index in range(8)] for value in values],
        np.float32,
    )
