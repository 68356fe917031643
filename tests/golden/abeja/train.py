"""Recomputes a manifest of `abeja/train/`: losses, gradients and updates of the first steps."""

from __future__ import annotations

import contextlib
import pathlib
from typing import NamedTuple
from unittest import mock

import numpy as np

from core import layers, network
from core.training import gradients as training_gradients
from core.training import groups, updates
from core.training import step as train
from core.training.optimizers import Settings
from deployment import backend
from options.config import Config
from options.device import DeviceOptions
from options.training import TRAINING_RECORDS
from tests.golden import rules
from tests.golden.abeja import networks
from tests.golden.abeja.logits import STEP, samples
from utils.classes import ClassSet, default_names
from utils.compat import tf
from utils.errors import OptionError, UserError

STEPS = 5
_DROPOUT_SEEDS = {"classifier": 77, "aux_classifier": 78}


def recompute(manifest: dict, folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    config = manifest["config"]
    spec = networks.spec_of(config)
    options = _options_of(config, spec)
    images = rules.images(config["images"], folder / "photos.npz")
    labels = np.stack([rules.label_map(*arguments) for arguments in config["labels"]])
    with tf.Graph().as_default(), dropout(config["dropout"]):
        step = train.build(
            tf.constant(images),
            tf.constant(labels.astype(np.int32)),
            options,
            classes=ClassSet(default_names(config["num_classes"])),
            backend=backend.create(DeviceOptions(device="cpu")),
        )
        training = _training(step, manifest, options)
        with tf.Session() as session:
            session.run(tf.local_variables_initializer())
            networks.load_weights(session, spec, config.get("salt", ""))
            return _run(session, training)


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    parts = manifest["step_loss_parts"]
    return {
        "step_loss": np.array(manifest["step_loss"]),
        "step_loss_parts": np.array([[part["out"], part["aux"]] for part in parts]),
        "step_learning_rate": np.array(manifest["step_learning_rate"]),
        "step_grad_norm": np.array(manifest["step_grad_norm"]),
    }


def _options_of(config, spec) -> Config:
    parameters = config["params"]
    # What the template does not train goes on normalizing with batch statistics.
    frozen = {"backbone": not parameters["FINE_TUNING"], "auxiliary": not parameters["AUX_LOSS"]}
    freeze = tuple(name for name, is_frozen in frozen.items() if is_frozen)
    statistics = freeze and config["bn"] == "batch"
    values = {
        "freeze": freeze or None,
        "frozen_batch_norm": "statistics" if statistics else "inference",
        "fine_tune_batch_norm": config["bn"] == "batch",
        "training_number_of_steps": parameters["total"],
        "base_learning_rate": parameters["LEARNING_RATE"],
        "momentum": parameters["MOMENTUM"],
        # Made by `_training`, since it acts on all variables.
        "weight_decay": 0.0,
        "bias_multiplier": 1.0,
    }
    return Config.of(*spec.records, *Config.create(TRAINING_RECORDS, values).records.values())


@contextlib.contextmanager
def dropout(kind: str):
    """Replaces the dropout of the graphs that are built inside by one without random numbers.

    Args:
      kind: "identity", or "mask" for the fixed masks of the two heads.

    Raises:
      OptionError: If the kind is unknown.
    """
    replacements = {"identity": lambda inputs, *_: inputs, "mask": _masked}
    if kind not in replacements:
        raise OptionError(f"dropout is {kind}, but must be one of {', '.join(replacements)}.")
    with mock.patch.object(layers, "dropout", replacements[kind]):
        yield


def _masked(inputs, keep_prob, unused_mode):
    head = tf.get_variable_scope().name.split("/")[0]
    drawn = np.random.RandomState(_DROPOUT_SEEDS[head]).uniform(size=inputs.shape.as_list())
    return inputs * tf.constant((drawn < keep_prob).astype(np.float32)) / keep_prob


class _Training(NamedTuple):
    """What the steps of a manifest read, and what they run.

    Attributes:
      update: Runs one step.
      readings: Name -> tensor, read before each step.
      logits: Name -> tensor, read before the first step.
      gradients: Those that the manifest lists, in its order.
      state: The entries of the state dict that it lists.
      slots: The momentum buffers that it lists.
    """

    update: tf.Operation
    readings: dict
    logits: dict
    gradients: list
    state: list
    slots: list


def _training(step, manifest, options) -> _Training:
    """Adds the template's update to the product's losses, gradients and batch-norm updates.

    The template's weight decay acts on all that it trains.
    """
    config = manifest["config"]
    variables = {
        networks.entry_name(variable.op.name, options.spec): variable
        for variable in network.variables()
    }
    multipliers = groups.rate_multipliers(
        [variable.op.name for variable in variables.values()],
        options.optimizer,
        network.architecture(options.spec),
    )
    factors = {name: multipliers.get(variable.op.name, 1.0) for name, variable in variables.items()}
    trained = [name for name, group in manifest["gradients"] if group >= 0]
    gradients = _gradients(step, manifest, variables)
    l2 = layers.l2_regularizer(config["params"]["WEIGHT_DECAY"])
    optimizer = updates.create(
        Settings(options.optimizer, step.learning_rate, multipliers=multipliers)
    )
    pairs = training_gradients.with_terms(
        [(gradients[name], variables[name]) for name in trained],
        {variables[name].op.name: l2(variables[name]) for name in trained},
    )
    moving = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies([*moving, *(gradient for gradient, _ in pairs)]):
        update = optimizer.apply_gradients(pairs, global_step=step.global_step)
    counted = tf.cast(step.global_step, tf.float32) if moving else tf.zeros([])
    return _Training(
        update=update,
        readings={
            "step_loss": step.loss,
            "step_loss_parts": tf.stack(tf.losses.get_losses()),
            "step_learning_rate": step.learning_rate * _factors_of_groups(manifest, factors),
            "step_grad_norm": tf.global_norm([gradients[name] for name in trained]),
        },
        logits=_resized_logits(step),
        gradients=list(gradients.values()),
        state=[
            counted if name.endswith("num_batches_tracked") else variables[name].read_value()
            for name in manifest["state"]
        ],
        slots=[
            optimizer.get_slot(variables[name], "momentum").read_value()
            for name in manifest["slots"]
        ],
    )


def _gradients(step, manifest, variables) -> dict:
    """Returns the gradients by name of entry, also those of what is frozen.

    Raises:
      UserError: If the step trains other variables than the template.
    """
    found = {variable: gradient for gradient, variable in step.gradients}
    trained = {variables[name] for name, group in manifest["gradients"] if group >= 0}
    if set(found) != trained:
        different = sorted(variable.op.name for variable in set(found) ^ trained)
        raise UserError(f"the template and the step train other variables: {different}.")
    frozen = [variables[name] for name, group in manifest["gradients"] if group < 0]
    found.update(zip(frozen, tf.gradients(step.loss, frozen)))
    return {name: found[variables[name]] for name, _ in manifest["gradients"]}


def _factors_of_groups(manifest, factors) -> list:
    """Returns the factor of each group's rate, 1 for a group without members."""
    by_group = {group: factors[name] for name, group in manifest["gradients"]}
    return [by_group.get(group, 1.0) for group in range(len(manifest["parameter_groups"]))]


def _resized_logits(step) -> dict:
    size = step.images.shape.as_list()[1:3]
    auxiliary = tf.get_default_graph().get_tensor_by_name("aux_classifier/4/BiasAdd:0")
    return {
        f"train_{name}_sample": layers.resize_bilinear(logits, size, align_corners=False)[
            :, ::STEP, ::STEP
        ]
        for name, logits in (("out", step.logits), ("aux", auxiliary))
    }


def _run(session, training) -> dict:
    """Runs the steps and returns the arrays."""
    arrays, gradients, first = session.run([training.logits, training.gradients, training.readings])
    readings = [first]
    session.run(training.update)
    after1 = session.run(training.state)
    for _ in range(STEPS - 1):
        readings.append(session.run(training.readings))
        session.run(training.update)
    after5, slots = session.run([training.state, training.slots])
    readings.append(session.run(training.readings))
    for name in first:
        arrays[name] = np.array([reading[name] for reading in readings], np.float64)
    # The norm of the last gradient, which makes no update, is not stored.
    arrays["step_grad_norm"] = arrays["step_grad_norm"][:STEPS]
    arrays["slot_norm"] = _norms(slots)[:, np.newaxis]
    for name, values in (("grad", gradients), ("after1", after1), ("after5", after5)):
        arrays[f"{name}_norm"] = _norms(values)
        arrays[f"{name}_sample"] = np.array(
            [samples(networks.in_their_order(np.asarray(value))) for value in values], np.float32
        )
    return arrays


def _norms(values) -> np.ndarray:
    return np.array([np.linalg.norm(np.asarray(value, np.float64).ravel()) for value in values])
