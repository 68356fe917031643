"""Recomputes `losses.json`: the loss on logits and labels made by rule, and its gradient."""

from __future__ import annotations

import pathlib

import numpy as np

from core.losses import Context, objective
from options.loss import LossOptions
from tests.golden import rules
from utils.classes import ClassSet, default_names
from utils.compat import tf
from utils.errors import OptionError

# The gradients are stored for every second row and column, and every tenth channel of many.
STEP = 2
CHANNEL_STEP = 10
MANY_CLASSES = 100

# Rows whose labels the special `out_of_range` replaces, and what is added to the class count.
_REPLACED_ROWS = 8
_BEYOND = 4
# Difference of the seeds and of the sizes of the second scale's logits.
_SECOND_SEED = 30
_SECOND_SHRINK = 2


def recompute(manifest: dict, unused_folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring.

    Cases about matting are left out, and said to be: no option of the project asks for that loss.
    """
    arrays = {}
    for case in manifest["cases"]:
        if not is_supported(case):
            print(f"{case['name']}: left out, the loss of matting is not part of this project.")
            continue
        for name, value in recompute_case(manifest, case).items():
            arrays[f"{case['name']}.{name}"] = value
    return arrays


def stored(manifest: dict) -> dict:
    """Returns the arrays whose values stand in the manifest itself."""
    arrays = {}
    for case in manifest["cases"]:
        arrays[f"{case['name']}.loss"] = np.array(case["loss"])
        arrays[f"{case['name']}.counted_labels"] = np.array(case["counted_labels"])
    return arrays


def is_supported(case: dict) -> bool:
    """Whether the project has the loss of a case."""
    return not case.get("gt_is_matting_map", False)


def recompute_case(manifest: dict, case: dict) -> dict:
    """Returns the arrays of one case: `loss`, `counted_labels` and `grad_SCALE_logits`.

    Raises:
      OptionError: If the case is about matting.
    """
    if not is_supported(case):
        raise OptionError(f"{case['name']}: the loss of matting is not part of this project.")
    labels = case_labels(manifest, case)
    with tf.Graph().as_default():
        logits = {name: tf.constant(value) for name, value in case_logits(manifest, case).items()}
        objective.build(
            {name: (value, 1.0) for name, value in logits.items()},
            tf.constant(labels),
            ClassSet(default_names(case["num_classes"]), ignore_label=case["ignore_label"]),
            Context(_options(case), tf.constant(case.get("global_step", 0), tf.int64)),
        )
        losses = tf.losses.get_losses()
        gradients = tf.gradients(tf.add_n(losses), list(logits.values()))
        with tf.Session() as session:
            loss_values, gradient_values = session.run([losses, gradients])
    arrays = {
        "loss": np.array(loss_values),
        "counted_labels": np.array(np.sum(labels != case["ignore_label"])),
    }
    channel_step = CHANNEL_STEP if case["num_classes"] > MANY_CLASSES else 1
    for name, value in zip(logits, gradient_values):
        key = f"grad_{name}_logits" if name == "merged" else f"grad_logits_{name}"
        arrays[key] = value[:, ::STEP, ::STEP, ::channel_step]
    return arrays


def _options(case: dict) -> LossOptions:
    weights = case.get("loss_weight")
    if isinstance(weights, float):
        weights = [weights] * case["num_classes"]
    return LossOptions(
        label_weights=weights,
        upsample_logits=case.get("upsample_logits", True),
        hard_example_mining_step=case.get("hard_example_mining_step", 0),
        top_k_percent_pixels=case.get("top_k_percent_pixels", 1.0),
    )


def case_logits(manifest: dict, case: dict) -> dict:
    """Returns scale name -> float32 [N, h, w, classes], in the order of the case's losses."""
    number, height, width = manifest["logits_shape"]
    scale, seed, classes = case["logits_scale"], case["logits_seed"], case["num_classes"]
    logits = {"merged": _normal(seed, scale, [number, height, width, classes])}
    if case.get("scales", 1) > 1:
        shape = [number, height - _SECOND_SHRINK, width - _SECOND_SHRINK, classes]
        logits["0.50"] = _normal(seed + _SECOND_SEED, scale, shape)
    return logits


def _normal(seed, scale, shape):
    return (scale * np.random.RandomState(seed).standard_normal(shape)).astype(np.float32)


def case_labels(manifest: dict, case: dict) -> np.ndarray:
    """Returns the labels of a case, int32 [N, H, W, 1]."""
    height, width = manifest["label_shape"][1:3]
    classes, ignore_label = case["num_classes"], case["ignore_label"]
    labels = rules.labels(
        [["labels", seed, height, width] for seed in case["labels_seeds"]], classes, ignore_label
    )
    special = case.get("special")
    if special == "all_ignored":
        labels[:] = ignore_label
    elif special == "out_of_range":
        labels[:, :_REPLACED_ROWS] = classes + _BEYOND
    elif special is not None:
        raise OptionError(f"{case['name']}: no such special labels: {special}.")
    return labels
